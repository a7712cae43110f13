"""Weights and data sets by their published names: local ones first, downloads on request."""
