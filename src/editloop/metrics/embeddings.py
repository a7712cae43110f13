"""The embedding store: each picture and each text is encoded once a model, and kept.

Pictures are known by their content, so it does not matter which case, turn, editor or run shows
them. An embedding does not depend on what is encoded with it: every batch (of texts, for either
width) has the same shape, the last one filled up with its last input.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from editloop.errors import StepError
from editloop.metrics.encoders import ImageModel, device
from editloop.metrics.vectors import Table, VectorFile
from editloop.schema import Pixels

if TYPE_CHECKING:
    from editloop.metrics.networks import Network, Tokens

__all__ = ["Counts", "Embeddings"]

# On a CPU more is no faster, and costs more where a chunk's last batch is filled up.
_BATCH = {"cpu": 8, "cuda": 64}

# On a CPU the network's threads take every core, and all of them wait for one that is disturbed.
_AHEAD = {"cpu": 0, "cuda": 1}

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")
_Number = TypeVar("_Number", np.float32, np.int64)
_Vectors = NDArray[np.float32]  # [n, d]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many different pictures and texts were encoded, and how many were found in the store.

    One that is asked for in several calls is counted in each.
    """

    images_encoded: int = 0
    images_found: int = 0
    texts_encoded: int = 0
    texts_found: int = 0


class Embeddings:
    """Embeddings by model and content, in a folder (a file a model) or, without one, in memory.

    Several metrics, and several processes, may share a folder. A network is loaded when something
    must be encoded, and only then. `batch` inputs are encoded at a time: by default 8 on a CPU and
    64 on a GPU.
    """

    def __init__(self, folder: Path | None = None, *, batch: int | None = None) -> None:
        self._folder = folder
        self._stated_batch = batch
        self._counts: Counter[str] = Counter()
        self._files: dict[ImageModel, VectorFile] = {}
        self._networks: dict[ImageModel, Network] = {}
        self._tokens: dict[ImageModel, Tokens] = {}
        self._held: dict[int, tuple[Pixels, bytes]] | None = None

    @property
    def counts(self) -> Counts:
        """The counts so far."""
        return Counts(**self._counts)

    @contextmanager
    def held(self) -> Iterator[None]:
        """While it lasts no picture given changes: each array's content is hashed once.

        Several metrics of one batch of pairs ask for the same pictures.
        """
        self._held = {}
        try:
            yield
        finally:
            self._held = None

    def images(self, model: ImageModel, pictures: Sequence[Pixels]) -> _Vectors:
        """The pictures' embeddings in order, float32 [n, d], unnormalised; no pictures: [0, 0]."""
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            keys = list(pool.map(self._picture_key, pictures))

            def encoded(chunks: Iterable[Sequence[Pixels]]) -> Iterator[_Vectors]:
                for inputs in _prepared(pool, model.view.apply, chunks, _AHEAD[device()]):
                    yield self._network(model).images(self._filled(np.stack(inputs)))

            found = self._all(model, "images", dict(zip(keys, pictures, strict=True)), encoded)
        return _stacked(found, keys)

    def texts(self, model: ImageModel, texts: Sequence[str]) -> _Vectors:
        """The texts' embeddings in order, float32 [n, d], unnormalised; no texts: [0, 0].

        A text that the model cannot read whole raises StepError: ask `refused` first.
        """
        if reasons := [reason for reason in self.refused(model, texts) if reason]:
            raise StepError("cannot encode a text", value=reasons[0], fix="leave it unscored")
        keys = [_text_key(text) for text in texts]

        def encoded(chunks: Iterable[Sequence[str]]) -> Iterator[_Vectors]:
            for chunk in chunks:
                yield self._network(model).texts(self._filled(self._reader(model).ids(chunk)))

        items = dict(zip(keys, texts, strict=True))
        found = self._all(
            model, "texts", items, encoded, lambda text: self._reader(model).width(text)
        )
        return _stacked(found, keys)

    def refused(self, model: ImageModel, texts: Sequence[str]) -> list[str | None]:
        """For each text, why the model cannot read it whole, or None. No text is ever cut."""
        keys = {text: _text_key(text) for text in texts}
        known = self._file(model).read("texts", list(keys.values()))
        fresh = [text for text, key in keys.items() if key not in known]
        reasons = dict(zip(fresh, self._reader(model).refused(fresh), strict=True)) if fresh else {}
        return [reasons.get(text) for text in texts]

    def _all(
        self,
        model: ImageModel,
        table: Table,
        items: Mapping[bytes, _Item],
        encode: Callable[[Iterable[Sequence[_Item]]], Iterator[_Vectors]],
        width: Callable[[_Item], int] = lambda _: 0,
    ) -> dict[bytes, NDArray[np.float32]]:
        """The vector of every item by its key: found, or encoded and kept a batch at a time.

        All items of a batch have one `width`.
        """
        file = self._file(model)
        vectors = file.read(table, list(items))
        self._counts[f"{table}_found"] += len(vectors)
        fresh: dict[int, list[bytes]] = defaultdict(list)
        for key, item in items.items():
            if key not in vectors:
                fresh[width(item)].append(key)
        chunks = [
            keys[at : at + self._batch]
            for keys in fresh.values()
            for at in range(0, len(keys), self._batch)
        ]
        encoded = encode([items[key] for key in chunk] for chunk in chunks)
        for chunk in chunks:
            made = dict(zip(chunk, next(encoded), strict=False))  # the rest only fills the batch
            file.write(table, made)
            self._counts[f"{table}_encoded"] += len(made)
            vectors |= made
        return vectors

    @cached_property
    def _batch(self) -> int:
        return self._stated_batch or _BATCH[device()]

    def _filled(self, inputs: NDArray[_Number]) -> NDArray[_Number]:
        """Inputs [n, ...] up to the batch's size, by repeating the last."""
        return inputs[np.minimum(np.arange(self._batch), len(inputs) - 1)]

    def _picture_key(self, picture: Pixels) -> bytes:
        if self._held is None:
            return _content(picture)
        held = self._held.get(id(picture))
        if held is None:  # the picture is kept too, so that nothing else gets its id meanwhile
            held = self._held[id(picture)] = picture, _content(picture)
        return held[1]

    def _file(self, model: ImageModel) -> VectorFile:
        if model not in self._files:
            path = None if self._folder is None else self._folder / f"{model.key}.sqlite"
            self._files[model] = VectorFile(path)
        return self._files[model]

    def _network(self, model: ImageModel) -> Network:
        from editloop.metrics.networks import Network

        if model not in self._networks:
            self._networks[model] = Network(model)
        return self._networks[model]

    def _reader(self, model: ImageModel) -> Tokens:
        from editloop.metrics.networks import Tokens

        if model not in self._tokens:
            self._tokens[model] = Tokens(model)
        return self._tokens[model]


def _content(picture: Pixels) -> bytes:
    digest = hashlib.sha256(f"{picture.shape}\0".encode())
    digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()


def _text_key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _stacked(found: Mapping[bytes, NDArray[np.float32]], keys: Sequence[bytes]) -> _Vectors:
    return np.stack([found[key] for key in keys]) if keys else np.zeros((0, 0), np.float32)


def _prepared(
    pool: ThreadPoolExecutor,
    function: Callable[[_Item], _Made],
    chunks: Iterable[Sequence[_Item]],
    ahead: int,
) -> Iterator[list[_Made]]:
    """A function of every item, chunk by chunk, with some chunks begun while one is used."""
    waiting: deque[list[Future[_Made]]] = deque()
    for chunk in chunks:
        waiting.append([pool.submit(function, item) for item in chunk])
        if len(waiting) > ahead:
            yield [future.result() for future in waiting.popleft()]
    for rest in waiting:
        yield [future.result() for future in rest]
