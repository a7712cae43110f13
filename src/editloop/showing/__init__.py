"""Tables, figures, galleries and page templates for all pages.

What may enter: code that displays plain values or pictures. Their meaning belongs to the calling
packages.
"""
