"""What a data set is like: its measures, rewards, statistics.

What may enter: what reads a data set and reports on it; no editor runs here.
"""
