"""Published diffusion models as editors: Stable Diffusion 1.5, XL and 3, and FLUX Kontext.

Each family is put together from diffusers' own networks behind one class, `DiffusionModel`, which
training and editing share. What enters here is what differs between families: how texts are read,
how latents are scaled, how a denoiser is called, and how a folder is loaded and saved.
"""
