"""Engines that run tasks, in this process or in worker processes.

What may enter: an engine, which maps functions over descriptors and knows nothing about shards.
"""
