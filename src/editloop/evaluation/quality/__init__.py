"""A data set's own quality: how well captions, edits and pictures fit.

What may enter: the one call behind `editloop measure`, its numbers, its page and its table.
"""
