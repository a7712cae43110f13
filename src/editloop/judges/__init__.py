"""Judges of edited pictures: they say yes or no, give scores and words, or say why they can't.

What may enter: whatever answers `judge(pairs)` with a verdict a pair, and what that rests on.
Numbers without opinion belong to `metrics/`.
"""
