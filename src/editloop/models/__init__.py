"""Networks and their parts: conditions and channels of a UNet, the pocket model, tokens, codecs.

What may enter: code that maps tensors to tensors, or text to tokens. It knows nothing about data
sets, training or editing requests. Networks are assembled from the components of diffusers and
transformers, never forked. Importing most modules of this room loads torch.
"""
