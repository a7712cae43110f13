"""Loaded encoders: networks that compute embeddings, and tokenizers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from editloop.errors import UnavailableError
from editloop.hub.pretrained import load_pretrained
from editloop.hub.weights import command
from editloop.metrics.encoders import ImageModel
from editloop.runtime.machine import device

__all__ = ["Network", "Tokens", "exact", "load"]

_CLASSES = {
    "clip": "CLIPModel",
    "vit": "ViTModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
}

_SHORT = 32  # tokens; enough for most captions, at less than half the cost of the full length

_VOCABULARIES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"})


def load(model: ImageModel, **options: Any) -> torch.nn.Module:
    """Load a model's network with all of its published weights; frozen, on its device.

    fp32 is full float32 (no TF32); bf16 holds the weights in bfloat16. Weights are read as
    safetensors, or by `torch.load(weights_only=True)` if a release has no safetensors. Raises
    UnavailableError if weights are missing.
    """
    kind = model.config["model_type"]
    if kind == "vit":
        options["add_pooling_layer"] = False  # no DINO release has one
    with _quiet(), _explained(model):
        made, report = load_pretrained(
            getattr(transformers, _CLASSES[kind]),
            model.folder,
            output_loading_info=True,
            dtype=torch.bfloat16 if model.precision == "bf16" else torch.float32,
            **options,
        )
    if absent := sorted(report["missing_keys"]):
        raise UnavailableError(
            "some weights of a model are missing",
            value=f"{model.name}: {len(absent)} missing, such as {absent[0]}",
            command=command(model.name),
        )
    network: torch.nn.Module = made.eval().requires_grad_(False).to(device())
    return network


class Network:
    """A loaded encoder; embeddings are float32 and unnormalised."""

    def __init__(self, model: ImageModel) -> None:
        self._network: Any = load(model, attn_implementation="sdpa")
        self._is_clip = model.kind == "clip"
        self._interpolates = model.kind == "dino"

    def images(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute embeddings [n, d] of inputs [n, 3, h, w] of a `View`.

        CLIP's is the projected one; DINO's and DINOv2's is the class token after the last norm.
        """
        given = torch.from_numpy(inputs).to(self._network.device, self._network.dtype)
        with torch.inference_mode(), exact():
            if self._is_clip:
                return _array(_pooled(self._network.get_image_features(given)))
            options = {"interpolate_pos_encoding": True} if self._interpolates else {}
            return _array(self._network(given, **options).last_hidden_state[:, 0])

    def texts(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Compute CLIP's projected text embeddings [n, d] of token ids [n, length].

        Attention is causal and the embedding is taken at the first end token, so padding has no
        effect on it.
        """
        given = torch.from_numpy(ids).to(self._network.device)
        with torch.inference_mode(), exact():
            return _array(_pooled(self._network.get_text_features(given)))


class Tokens:
    """A CLIP model's tokenizer; texts are truncated only if the model's `long_texts` are cut."""

    def __init__(self, model: ImageModel) -> None:
        # Without its files, transformers makes a tokenizer that gives all texts the same ids.
        present = {path.name for path in model.folder.iterdir()}
        if not any(files <= present for files in _VOCABULARIES):
            raise UnavailableError(
                "a model has no tokenizer", value=model.folder, command=command(model.name)
            )
        with _explained(model):
            self._read: Any = load_pretrained(transformers.AutoTokenizer, model.folder)
        self._longest = model.longest_text
        self._cuts = model.long_texts == "cut"
        self._name = model.name

    def refused(self, texts: Sequence[str]) -> list[str | None]:
        """Return, for each text, why it is too long for the model, or None."""
        lengths = [len(ids) for ids in self._ids(texts)]
        return [None if length <= self._longest else self._reason(length) for length in lengths]

    def width(self, text: str) -> int:
        """Return the length that a text is padded to, which depends only on this text."""
        length = len(self._ids([text])[0])
        return _SHORT if length <= _SHORT < self._longest else self._longest

    def ids(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the token ids of texts of one width, padded to it: [n, width]."""
        filled = np.full((len(texts), self.width(texts[0])), self._read.pad_token_id, np.int64)
        for row, ids in zip(filled, self._ids(texts), strict=True):
            row[: len(ids)] = ids
        return filled

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        read = [self._read(text, verbose=False)["input_ids"] for text in texts]
        return [self._cut(ids) for ids in read] if self._cuts else read

    def _cut(self, ids: list[int]) -> list[int]:
        """Return the first tokens that fit, and the end token, as `clip.tokenize` truncates."""
        return ids if len(ids) <= self._longest else [*ids[: self._longest - 1], ids[-1]]

    def _reason(self, length: int) -> str:
        return f"the caption has {length} tokens, and {self._name} reads {self._longest}"


@contextmanager
def _explained(model: ImageModel) -> Iterator[None]:
    """Convert errors of reading a model's files (missing, truncated, wrong size) to ours."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UnavailableError(
            "cannot read the files of a model",
            value=f"{model.name}: {str(error)[:200]}",
            command=command(model.name),
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Disable the progress bars of transformers, which would mix with ours."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def exact() -> Any:
    """Return a context in which float32 convolutions on a GPU do not use TF32."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def _pooled(found: Any) -> Tensor:
    """Return the embedding: transformers 5 returns an object, earlier versions the tensor."""
    pooled: Tensor = getattr(found, "pooler_output", found)
    return pooled


def _array(found: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = found.float().cpu().numpy()
    return array
