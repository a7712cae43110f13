"""The machinery of long work: steps and their contract, shards, segments, resume, accounting.

What may enter: code that runs steps on samples, whatever they do. Steps themselves live elsewhere.
"""
