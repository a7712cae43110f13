"""Networks and their parts: what is added to a UNet, the pocket model, its tokens and codec.

What enters here maps tensors to tensors (or text to tokens) and knows nothing of data sets, of
training or of editing requests. Networks are put together from diffusers' and transformers' parts,
never forked. Importing a module of this room loads torch.
"""
