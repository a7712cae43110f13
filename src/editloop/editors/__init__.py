"""Editors: implementations of the `Editor` interface in `schema`, which edit by an instruction.

An editor has a `Settings` model, a name and a fingerprint. It answers each request with a picture
of the same size, or with the reason why it made none.
"""
