"""Lint: defects of a data set's samples, found without a model, with how to repair each.

What may enter: checks of samples and of whole data sets, and their page.
"""
