"""Measures of edited pictures: numbers computed from pixels or embeddings.

What may enter: pure measures of `EditedPair`, each a `Metric`, and the store of embeddings. A
measure that cannot be computed is unscored with its reason. Opinions (yes or no, texts) belong to
`judges/`.
"""
