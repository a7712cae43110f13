"""Weights and data sets by their published names: from this machine first, from the hub if asked."""
