"""The benchmark `protocol`: any editors, on any data, by a published protocol card.

Contains the reader of cards (which are in `protocols/`), and the editing and measuring they define.
"""
