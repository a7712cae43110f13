"""Steps and their contract, shards, segments, engines, resume, accounting.

What may enter: what all long work runs through; no step of any kind lives here.
"""
