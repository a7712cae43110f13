"""A fake model server with the protocols and failures of real ones.

What may enter: code that serves requests. What the server answers is injected.
"""
