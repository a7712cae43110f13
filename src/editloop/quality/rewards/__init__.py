"""Statistics of the judges' scores in a data set, and the export of the rewards.

What may enter: the kind `rewards` of `evaluate` parts, its numbers, its page and its table.
"""
