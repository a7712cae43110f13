"""Durable files: Parquet tables, commit records, versions, manifests, locks, SQLite.

What may enter: code that writes files or verifies them; nothing about steps or models.
"""
