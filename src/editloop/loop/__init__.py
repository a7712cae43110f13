"""One recipe: its parts, their versions, the run folder.

What may enter: what reads a recipe or makes its parts in order; no part of any kind lives here.
"""
