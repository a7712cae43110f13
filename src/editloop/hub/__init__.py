"""Weights and data sets by their published names: from this machine, or the hub where asked for."""
