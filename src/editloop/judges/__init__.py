"""Judges of edited pictures: they return scores, yes or no and words, or a reason for no score.

This package holds everything with `judge(pairs)`, which returns one verdict for each pair, and the
code that judges need. Measures that state no opinion belong to `metrics/`.
"""
