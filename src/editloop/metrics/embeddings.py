"""The embedding store: each picture and each text is encoded once a model, and kept.

Pictures are known by their content, so it does not matter which case, turn, editor or run shows
them. An embedding does not depend on what is encoded with it, nor on how many cores there are:
every batch (of texts, for either width) has the same shape, and on a CPU one thread encodes it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from editloop.errors import StepError
from editloop.metrics.batches import Batches
from editloop.metrics.encoders import ImageModel
from editloop.metrics.vectors import Table, VectorFile
from editloop.runtime.machine import cores, device
from editloop.schema import Pixels

if TYPE_CHECKING:
    from editloop.metrics.networks import Network, Tokens

__all__ = ["Embeddings", "EncodeCounts", "Later"]

# On a CPU more is no faster, and costs more where the last batch is filled up.
_BATCH = {"cpu": 16, "cuda": 64}

_Item = TypeVar("_Item")
_Vectors = NDArray[np.float32]  # [n, d]
Later: TypeAlias = Callable[[], _Vectors]


@dataclass(frozen=True, slots=True)
class EncodeCounts:
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
    must be encoded, and only then. `batch` inputs are encoded at a time: by default 16 on a CPU and
    64 on a GPU.
    """

    def __init__(self, folder: Path | None = None, *, batch: int | None = None) -> None:
        self._folder = folder
        self._stated_batch = batch
        self._found: Counter[Table] = Counter()
        self._files: dict[ImageModel, VectorFile] = {}
        self._networks: dict[ImageModel, Network] = {}
        self._tokens: dict[ImageModel, Tokens] = {}
        self._batches: dict[tuple[ImageModel, Table, int], Batches] = {}
        self._held: dict[int, tuple[Pixels, bytes]] | None = None

    @property
    def counts(self) -> EncodeCounts:
        """The counts so far."""
        encoded: Counter[Table] = Counter()
        for (_, table, _), batches in self._batches.items():
            encoded[table] += batches.encoded
        return EncodeCounts(
            encoded["images"], self._found["images"], encoded["texts"], self._found["texts"]
        )

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
        return self.images_later(model, pictures)()

    def images_later(self, model: ImageModel, pictures: Sequence[Pixels]) -> Later:
        """What gives `images` when it is called; the pictures are needed no more.

        They are read now, and encoded in batches together with those of other calls.
        """
        keys = list(self._pool.map(self._picture_key, pictures))
        fresh = self._fresh(model, "images", dict(zip(keys, pictures, strict=True)))
        if fresh:
            self._add(model, "images", 0, fresh, model.view.apply)
        return partial(self._collected, model, "images", keys)

    def texts(self, model: ImageModel, texts: Sequence[str]) -> _Vectors:
        """The texts' embeddings in order, float32 [n, d], unnormalised; no texts: [0, 0].

        A text that the model cannot read whole raises StepError: ask `refused` first.
        """
        return self.texts_later(model, texts)()

    def texts_later(self, model: ImageModel, texts: Sequence[str]) -> Later:
        """What gives `texts` when it is called, as `images_later` does it."""
        if reasons := [reason for reason in self.refused(model, texts) if reason]:
            raise StepError("cannot encode a text", value=reasons[0], fix="leave it unscored")
        keys = [_text_key(text) for text in texts]
        fresh = self._fresh(model, "texts", dict(zip(keys, texts, strict=True)))
        for width, items in _by_width(fresh, lambda text: self._reader(model).width(text)):
            self._add(model, "texts", width, items, lambda text: self._reader(model).ids([text])[0])
        return partial(self._collected, model, "texts", keys)

    def refused(self, model: ImageModel, texts: Sequence[str]) -> list[str | None]:
        """For each text, why the model cannot read it whole, or None. No text is ever cut."""
        keys = {text: _text_key(text) for text in texts}
        known = self._file(model).read("texts", list(keys.values()))
        fresh = [text for text, key in keys.items() if key not in known]
        reasons = dict(zip(fresh, self._reader(model).refused(fresh), strict=True)) if fresh else {}
        return [reasons.get(text) for text in texts]

    def _fresh(
        self, model: ImageModel, table: Table, items: Mapping[bytes, _Item]
    ) -> dict[bytes, _Item]:
        """The items that have no vector and wait for none; the others are counted as found."""
        known = self._file(model).read(table, list(items))
        coming = self._of(model, table)
        fresh = {
            key: item
            for key, item in items.items()
            if key not in known and not any(key in each for each in coming)
        }
        self._found[table] += len(items) - len(fresh)
        return fresh

    def _add(
        self,
        model: ImageModel,
        table: Table,
        width: int,
        items: Mapping[bytes, _Item],
        prepare: Callable[[_Item], NDArray[Any]],
    ) -> None:
        """Prepare items for their encoder, a few at a time, and encode those that fill batches."""
        batches = self._batches_of(model, table, width)
        keys = list(items)
        try:
            for at in range(0, len(keys), self._batch):
                some = keys[at : at + self._batch]
                rows = self._pool.map(prepare, [items[key] for key in some])
                for key, row in zip(some, rows, strict=True):
                    batches.add(key, row)
        except BaseException:
            batches.finish()  # what was prepared before is kept
            raise

    def _collected(self, model: ImageModel, table: Table, keys: Sequence[bytes]) -> _Vectors:
        for batches in self._of(model, table):
            batches.finish()
        found = self._file(model).read(table, list(dict.fromkeys(keys)))
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, 0), np.float32)

    def _of(self, model: ImageModel, table: Table) -> list[Batches]:
        """What may wait for a model's encoder, of any width."""
        return [batches for (*of, _), batches in self._batches.items() if of == [model, table]]

    def _batches_of(self, model: ImageModel, table: Table, width: int) -> Batches:
        key = model, table, width
        if key not in self._batches:
            encode = getattr(self._network(model), table)

            def start(inputs: NDArray[Any]) -> Future[_Vectors]:
                return self._encoders.submit(encode, inputs)

            self._batches[key] = Batches(self._file(model), table, self._batch, start, cores())
        return self._batches[key]

    @cached_property
    def _batch(self) -> int:
        return self._stated_batch or _BATCH[device()]

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """What hashes, prepares and, on a CPU, encodes: a thread a core, each for itself.

        Threads that share one network wait for the slowest at each layer; these never wait.
        """
        return ThreadPoolExecutor(cores(), initializer=_alone)

    @cached_property
    def _encoders(self) -> ThreadPoolExecutor:
        return self._pool if device() == "cpu" else ThreadPoolExecutor(1)

    def _picture_key(self, picture: Pixels) -> bytes:
        if self._held is None:
            return _content(picture)
        held = self._held.get(id(picture))
        if held is None:  # the picture is kept too, so that nothing else gets its id meanwhile
            held = self._held[id(picture)] = picture, _content(picture)
        return held[1]

    def _file(self, model: ImageModel) -> VectorFile:
        if model not in self._files:
            path = (
                None if self._folder is None else self._folder / f"{model.key}-{self._batch}.sqlite"
            )
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


def _by_width(
    texts: Mapping[bytes, str], width: Callable[[str], int]
) -> Iterator[tuple[int, dict[bytes, str]]]:
    widths = {key: width(text) for key, text in texts.items()}
    for each, keys in groupby(sorted(texts, key=widths.__getitem__), key=widths.__getitem__):
        yield each, {key: texts[key] for key in keys}


def _alone() -> None:
    """The tensors of a thread are worked on by no other."""
    import torch  # noqa: F401 - its threads can be limited once it is loaded
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="openmp")
