"""Decode, normalise, encode and hash pictures; picture files and their metadata.

What may enter: code that works on one picture's bytes or pixels, for any purpose.
"""
