"""The runtime environment: the machine, seeds, a launcher's processes, prefetching.

What may enter: code that queries the machine or the launcher; nothing about pictures or our files.
"""
