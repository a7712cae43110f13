"""The benchmark `darkroom`: held-out edits whose truth is known.

What may enter: what only this benchmark asks and measures.
"""
