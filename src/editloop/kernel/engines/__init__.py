"""Engines that run tasks, in this process or in workers; they know nothing about shards."""
