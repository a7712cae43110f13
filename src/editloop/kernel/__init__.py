"""Steps and their contract, shards, segments, engines, resume, accounting.

What may enter: the machinery that runs all long work. Steps themselves live elsewhere.
"""
