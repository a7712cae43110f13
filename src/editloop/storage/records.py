"""Small JSON files with a checksum: a body and the hash of its canonical form.

A record's bytes are a function of its body, so any flipped byte is detected.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from editloop.errors import CorruptError, StoreError
from editloop.schema import Json, canonical_json
from editloop.storage.files import Files, explained, replace_file

__all__ = ["decode_record", "encode_record", "fingerprint", "read_record", "write_record"]


def fingerprint(value: Json) -> str:
    """Return the first 16 hex digits of the SHA-256 of a JSON value's canonical form."""
    return _digest(canonical_json(value))[:16]


def encode_record(body: Json) -> bytes:
    """Return the bytes of the record with this body."""
    text = canonical_json(body)
    return f'{{"body":{text},"sha256":"{_digest(text)}"}}\n'.encode()


def decode_record(data: bytes, path: Path) -> Json:
    """Return the body of a record; raises CorruptError if any byte was changed."""
    try:
        body = json.loads(data)["body"]
        whole = encode_record(body) == data
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(path) from error
    if not whole:
        raise _corrupt(path)
    return body


def write_record(files: Files, path: Path, body: Json) -> None:
    """Write a record durably, replacing an older one."""
    with explained("write a record", path):
        replace_file(files, path, encode_record(body))


def read_record(files: Files, path: Path) -> Json:
    """Return the body of a record file, or None if the file does not exist."""
    try:
        with files.read(path) as handle:
            data = handle.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError("cannot read a record", value=path, fix=str(error)) from error
    return decode_record(data, path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _corrupt(path: Path) -> CorruptError:
    return CorruptError(
        "a record is damaged or was changed",
        value=path,
        fix="restore it from a copy, or delete it to rebuild its content",
    )
