"""A description of a data set: types, instructions, keywords, sizes, licences, rewards.

What may enter: counts of what a data set holds, made in one pass. Measures that decode every
picture belong to `measure`, defects to `lint`.
"""
