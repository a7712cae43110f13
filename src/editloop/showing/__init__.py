"""Tables, figures, galleries and page templates, for every page we make.

What may enter: what shows plain values or pictures; what they mean is for the rooms that ask.
"""
