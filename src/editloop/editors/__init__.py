"""Editors: implementations of the `Editor` interface in `schema`, which edit by an instruction.

What may enter: editors, each with a name, a fingerprint and `edit(requests)`, and the calls that
edit pictures and files. An editor returns a picture of the same size, or the reason for none.
"""
