"""Published diffusion models as editors: Stable Diffusion 1.5, XL and 3, and FLUX Kontext.

Each family is composed of diffusers' own networks behind one class, `DiffusionModel`, which
training and editing share. Code here covers the differences between families: how texts are
encoded, how latents are scaled, how a denoiser is called, and how a folder is loaded and saved.
"""
