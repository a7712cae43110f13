"""A fake chat server with the protocol and failures of real ones.

What may enter: code that serves requests. What the server answers is injected.
"""
