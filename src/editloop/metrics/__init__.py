"""Measures of edited pictures: numbers computed from pixels or embeddings, without opinion.

What may enter: pure measures of `EditedPair`, each a `Metric`. A measure that cannot be taken is
unscored with its reason. What judges (yes or no, words) belongs to `judges/`.
"""
