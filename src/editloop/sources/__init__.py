"""Where pictures come in: the photographs bundled with common packages, and folders of images.

What may enter: sources (`steps.Source`) that list pictures cheaply in a fixed order and load them
normalised, each with its caption and provenance. No edits, no filtering, nothing that needs a
network unless a recipe names it.
"""
