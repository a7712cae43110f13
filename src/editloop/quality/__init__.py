"""The quality of a data set: its measures, rewards and statistics.

What may enter: code that reads a data set and reports on it. No editor runs here.
"""
