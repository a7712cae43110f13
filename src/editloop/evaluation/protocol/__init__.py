"""The benchmark `protocol`: any editors, on any data, by a published protocol card.

What may enter: the reader of cards (the cards are in `protocols/`), and the editing and measuring
that they define.
"""
