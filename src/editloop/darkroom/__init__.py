"""Edits whose truth is known, made on real photos at any resolution.

What may enter: operations, props, phrases, faults of known kind and severity, and the comparison
with the truth. It is deterministic given a seed, needs no weights, and knows target and mask.
"""
