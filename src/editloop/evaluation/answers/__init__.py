"""Editors' answers to cases: requested in chunks, measured, stored, counted and published.

What may enter: code that every benchmark shares, whatever its cases and metrics.
"""
