"""Editors' answers to cases: requested in chunks, measured, stored, counted and published.

Only code that every benchmark shares, whatever its cases and metrics, belongs here.
"""
