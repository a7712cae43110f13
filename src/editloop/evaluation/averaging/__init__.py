"""From the numbers of cases to means with intervals, and to what they show.

What may enter: statistics of numbers that are there; pure functions, which draw by a given seed.
"""
