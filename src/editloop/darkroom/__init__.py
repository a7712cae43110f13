"""The darkroom: synthetic edits with known ground truth, made on real photos at any resolution.

It contains operations, rendered props, instruction phrases, faults of known kind and severity, and
the judge that compares a picture with the truth. Everything here is deterministic given a seed,
needs no weights, and has an exact target and mask.
"""
