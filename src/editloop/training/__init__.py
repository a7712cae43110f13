"""Training: the objective, the data cache, the loop and its checkpoints, for any backbone.

Code here either serves every backbone (objective, dropout, cache, loop) or connects one backbone to
its data as a recipe's `train` part (`pocket`, `diffusion`). Importing a module of it loads torch.
"""
