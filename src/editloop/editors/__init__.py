"""Editors: everything that answers an instruction with a picture, behind the one face of `schema`.

An editor comes in with a `Settings` model, a name and a fingerprint. It answers each request with a
picture of the same size, or says why it made none.
"""
