"""Comparison of runs with the same benchmark fingerprints; other runs are rejected.

What may enter: the call behind `editloop compare`, the pairing of cases, preferences, the page and
the table.
"""
