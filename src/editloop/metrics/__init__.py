"""Measures of edited pictures: numbers computed from pixels or embeddings, without opinion.

This package holds pure measures of `EditedPair`, each a `Metric`. A measure that cannot be computed
is unscored with its reason. Code that says yes or no, or gives words, belongs to `judges/`.
"""
