"""Training of editors: objective, data cache, training loop and checkpoints, for any backbone.

What may enter: code that learns from published data, and the kinds of `train` parts, `pocket` and
`diffusion`. Networks belong to `models/`, inference to `editors/`. Importing most modules of this
room loads torch.
"""
