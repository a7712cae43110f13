"""The darkroom: edits whose truth is known, made on real photos at any resolution.

Operations, rendered props, the phrases that ask for them, faults of known kind and severity, and
the judge that compares a picture with the truth. What enters here is deterministic given a seed,
needs no weights, and knows its exact target and mask.
"""
