"""Comparison of runs with the same benchmark fingerprints; other runs are refused.

Contains the call behind `editloop compare`, the pairing of cases, the page and the table.
"""
