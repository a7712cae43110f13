"""A queue of inputs to encode, which collects inputs of several calls into full batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editloop.metrics.vectors import Table, VectorFile

__all__ = ["Batches"]

_Vectors: TypeAlias = NDArray[np.float32]  # [n, d]


class Batches:
    """Inputs of one model and shape, encoded `size` at a time; vectors are written to a file.

    `start` submits inputs [size, ...] for encoding; at most `under_way` batches are in progress. A
    batch that is not full is padded with its last input, so that all have the same shape.
    """

    def __init__(
        self,
        file: VectorFile,
        table: Table,
        size: int,
        start: Callable[[NDArray[Any]], Future[_Vectors]],
        under_way: int,
    ) -> None:
        self._file, self._table, self._size = file, table, size
        self._start, self._under_way = start, under_way
        self._waiting: dict[bytes, NDArray[Any]] = {}
        self._begun: deque[tuple[list[bytes], Future[_Vectors]]] = deque()
        self.encoded = 0

    def __contains__(self, key: bytes) -> bool:
        return key in self._waiting or any(key in keys for keys, _ in self._begun)

    def add(self, key: bytes, row: NDArray[Any]) -> None:
        """Add an input with the key of its vector; encode a batch when it is full."""
        self._waiting[key] = row
        if len(self._waiting) == self._size:
            self._begin()

    def finish(self) -> None:
        """Encode pending inputs; every vector is in the file when this returns."""
        if self._waiting:
            self._begin()
        self.collect(0)

    def collect(self, left: int = 0) -> None:
        """Write the vectors of submitted batches, except for the last `left` ones."""
        while len(self._begun) > left:
            keys, future = self._begun.popleft()
            self._file.write(self._table, dict(zip(keys, future.result(), strict=False)))
            self.encoded += len(keys)

    def _begin(self) -> None:
        keys, rows = list(self._waiting), list(self._waiting.values())
        self._waiting.clear()
        self._begun.append((keys, self._start(self._filled(rows))))
        self.collect(self._under_way)

    def _filled(self, rows: list[NDArray[Any]]) -> NDArray[Any]:
        return np.stack(rows + rows[-1:] * (self._size - len(rows)))
