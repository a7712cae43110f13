"""Statistics of judges' scores of a data set, and the export of the rewards.

What may enter: the part `rewards`, its numbers, its page and its table.
"""
