"""The benchmark `protocol`: any editors, on any data, by a published card.

What may enter: reading cards (they lie in `protocols/`), and asking and measuring as one says.
"""
