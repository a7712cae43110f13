"""Networks and their parts: conditions for UNets, backbones, the pocket model and its tokens.

Code here maps tensors to tensors (or text to tokens) and doesn't depend on data sets, training or
editing requests. Networks are composed from diffusers' and transformers' parts, never forked.
Importing a module of this folder loads torch.
"""
