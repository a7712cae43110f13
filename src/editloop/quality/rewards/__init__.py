"""Statistics of what judges said of a data set, and the rewards to take away.

What may enter: the part `rewards`, its numbers, its page and its table.
"""
