"""The report of a run: one HTML page that loads nothing and escapes everything.

What may enter: what is read of a run folder for it, and the views that its templates show.
"""
