"""Editors' answers to cases: asked in chunks, measured, kept, counted and published.

What may enter: what every benchmark does alike, whatever its cases and numbers are.
"""
