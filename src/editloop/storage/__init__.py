"""Durable files: Parquet tables, commit records, versions, manifests, locks, SQLite.

What may enter: code that puts bytes on a disk or proves them; nothing about steps or models.
"""
