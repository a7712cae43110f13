"""Published diffusion models as bases of editors: Stable Diffusion 1.5, XL and 3, FLUX Kontext.

What may enter: code in which the families differ: encoding text, scaling latents, calling the
denoiser, loading and saving. Each family is assembled from diffusers' own networks behind one
class, `DiffusionModel`, which training and editing share.
"""
