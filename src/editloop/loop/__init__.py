"""One recipe: its parts, their versions, the run folder.

What may enter: code that reads a recipe or runs its parts in order; no parts themselves.
"""
