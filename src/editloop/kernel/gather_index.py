"""The index of groups that span shards: a table of each sample's group, without pictures."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

__all__ = ["INDEX", "index_table"]

INDEX = pa.schema([(name, pa.string()) for name in ("input", "id", "group")])


def index_table(ids: Sequence[str], groups: Sequence[str]) -> pa.Table:
    """Return the data table of a segment that gathers: the group of each sample."""
    return pa.table({"input": ids, "id": ids, "group": groups}, schema=INDEX)
