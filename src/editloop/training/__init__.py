"""Training: the objective, the data cache, the loop and its checkpoints, for any backbone.

What enters here either serves every backbone (objective, dropout, cache, loop) or puts one together
with its data as a recipe's `train` part (`pocket`). Importing a module of this room loads torch.
"""
