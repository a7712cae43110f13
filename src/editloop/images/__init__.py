"""Decode, normalise, encode and hash pictures; picture files and their metadata.

What may enter: what works on one picture's bytes or pixels, whatever the picture is for.
"""
