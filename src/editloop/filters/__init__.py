"""Decisions on which samples may stay: unchanged targets, registration, thresholds, duplicates.

What may enter: measurements and rules on a sample's own pictures and scores; no models of our own,
no network calls.
"""
