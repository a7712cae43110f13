"""The embedding store: each model encodes each picture and text once, and the vector is cached.

Pictures are identified by their content, so it does not matter which case, turn, editor or run they
come from. An embedding does not depend on the rest of its batch, nor on the number of cores: every
batch (of texts, for each width) has the same shape, and on a CPU one thread encodes it.
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

# On a CPU larger batches are not faster, and padding the last one costs more.
_BATCH = {"cpu": 16, "cuda": 64}

_Item = TypeVar("_Item")
_Vectors = NDArray[np.float32]  # [n, d]
Later: TypeAlias = Callable[[], _Vectors]


@dataclass(frozen=True, slots=True)
class EncodeCounts:
    """The numbers of different pictures and texts that were encoded, and found in the store.

    An input that occurs in several calls is counted in each.
    """

    images_encoded: int = 0
    images_found: int = 0
    texts_encoded: int = 0
    texts_found: int = 0


class Embeddings:
    """Embeddings by model and content, in a folder (one file for each model) or in memory.

    Several metrics, and several processes, may share a folder. A network is loaded only when
    something must be encoded. `batch` inputs are encoded at a time: by default 16 on a CPU and 64
    on a GPU.
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
        """Return a context in which each array is hashed once; pictures must not change in it.

        Several metrics of one batch of pairs use the same pictures.
        """
        self._held = {}
        try:
            yield
        finally:
            self._held = None

    def images(self, model: ImageModel, pictures: Sequence[Pixels]) -> _Vectors:
        """Return the pictures' embeddings, float32 [n, d], unnormalised; [0, 0] for no pictures."""
        return self.images_later(model, pictures)()

    def images_later(self, model: ImageModel, pictures: Sequence[Pixels]) -> Later:
        """Return a function that returns `images`; the pictures may be freed before it is called.

        Pictures are prepared now, and encoded in batches together with those of other calls.
        """
        keys = list(self._pool.map(self._picture_key, pictures))
        fresh = self._fresh(model, "images", dict(zip(keys, pictures, strict=True)))
        if fresh:
            self._add(model, "images", 0, fresh, model.view.apply)
        return partial(self._collected, model, "images", keys)

    def texts(self, model: ImageModel, texts: Sequence[str]) -> _Vectors:
        """Return the texts' embeddings, float32 [n, d], unnormalised; [0, 0] for no texts.

        A text that is too long for the model raises StepError: check with `refused` first.
        """
        return self.texts_later(model, texts)()

    def texts_later(self, model: ImageModel, texts: Sequence[str]) -> Later:
        """Return a function that returns `texts`, as `images_later` does for pictures."""
        if reasons := [reason for reason in self.refused(model, texts) if reason]:
            raise StepError("cannot encode a text", value=reasons[0], fix="leave the pair unscored")
        keys = [_text_key(text) for text in texts]
        fresh = self._fresh(model, "texts", dict(zip(keys, texts, strict=True)))
        for width, items in _by_width(fresh, lambda text: self._reader(model).width(text)):
            self._add(model, "texts", width, items, lambda text: self._reader(model).ids([text])[0])
        return partial(self._collected, model, "texts", keys)

    def refused(self, model: ImageModel, texts: Sequence[str]) -> list[str | None]:
        """Return, for each text, why it is too long for the model, or None; none is truncated."""
        keys = {text: _text_key(text) for text in texts}
        known = self._file(model).read("texts", list(keys.values()))
        fresh = [text for text, key in keys.items() if key not in known]
        reasons = dict(zip(fresh, self._reader(model).refused(fresh), strict=True)) if fresh else {}
        return [reasons.get(text) for text in texts]

    def _fresh(
        self, model: ImageModel, table: Table, items: Mapping[bytes, _Item]
    ) -> dict[bytes, _Item]:
        """Return the items without a vector, stored or pending; count the others as found."""
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
        """Prepare items for their encoder in small groups, and encode full batches."""
        batches = self._batches_of(model, table, width)
        keys = list(items)
        try:
            for at in range(0, len(keys), self._batch):
                some = keys[at : at + self._batch]
                rows = self._pool.map(prepare, [items[key] for key in some])
                for key, row in zip(some, rows, strict=True):
                    batches.add(key, row)
        except BaseException:
            batches.finish()  # keep the inputs that were prepared before
            raise

    def _collected(self, model: ImageModel, table: Table, keys: Sequence[bytes]) -> _Vectors:
        for batches in self._of(model, table):
            batches.finish()
        found = self._file(model).read(table, list(dict.fromkeys(keys)))
        return np.stack([found[key] for key in keys]) if keys else np.zeros((0, 0), np.float32)

    def _of(self, model: ImageModel, table: Table) -> list[Batches]:
        """Return the pending batches of a model's encoder, of any width."""
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
        """The threads, one for each core, that hash, prepare and, on a CPU, encode inputs.

        Each encodes batches of its own. Threads that work on the same batch would wait for the
        slowest one at each layer.
        """
        return ThreadPoolExecutor(cores(), initializer=_limit_threads)

    @cached_property
    def _encoders(self) -> ThreadPoolExecutor:
        return self._pool if device() == "cpu" else ThreadPoolExecutor(1)

    def _picture_key(self, picture: Pixels) -> bytes:
        if self._held is None:
            return _content(picture)
        held = self._held.get(id(picture))
        if held is None:  # the picture is kept too, so that its id is not reused
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


def _limit_threads() -> None:
    """Limit PyTorch to one thread, so that no other works on this thread's tensors."""
    import torch  # noqa: F401 - its threads can be limited once it is loaded
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="openmp")
