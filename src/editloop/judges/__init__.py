"""Judges of edited pictures: they return scores, yes or no and texts, or a reason for no score.

What may enter: judges, whose `judge(pairs)` returns one verdict per pair, and what they need:
rubrics, parsing of replies, calibration. Measures without an opinion belong to `metrics/`.
"""
