"""Facts of where we run: the machine, seeds, a launcher's ranks, prefetching.

What may enter: code that asks the machine or the launcher; nothing about pictures or our files.
"""
