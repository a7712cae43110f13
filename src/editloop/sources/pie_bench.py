"""PIE-Bench (arXiv:2310.01506): prompts, instructions and masks for 700 pictures of 512 x 512.

    mapping_file.json       id -> image_path, original_prompt, editing_prompt, editing_instruction,
                            editing_type_id, blended_word, mask
    annotation_images/      the pictures, in folders by type

A mask is run-length encoded: alternating starts and lengths, row by row. As in the released
evaluator, the picture's outermost pixels are always editable, and square brackets are removed from
prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from editloop.images.codec import encode_png
from editloop.schema import EditSample, Image, Json, Mask, Provenance
from editloop.sources.entries import BLANK, Entry, Problem, below
from editloop.sources.listed import ListedIndex, mapped_index
from editloop.sources.taxonomies import PIE_BENCH, edit_type

__all__ = ["decode_runs", "pie_bench_index"]

_SIDE = 512
_LISTING = "mapping_file.json"
_TEXTS = ("original_prompt", "editing_prompt", "editing_instruction")
_KEPT = ("editing_type_id", "blended_word", "image_path")


def pie_bench_index(folder: Path) -> ListedIndex:
    """Return the index of the layout `pie-bench`; `editing_type_id` is among the parameters.

    So is `image_path`, under which the released code writes its outputs.
    """
    edits = partial(_edits, folder / "annotation_images")
    return mapped_index("pie-bench", folder / _LISTING, edits)


def decode_runs(runs: list[int], side: int = _SIDE) -> Mask:
    """Decode alternating starts and lengths into a mask [side, side], with an editable border.

    Raises ValueError for invalid runs.
    """
    pairs = np.array(runs, dtype=np.int64).reshape(-1, 2)
    if (pairs < 0).any() or (pairs[:, 0] > side * side).any():
        raise ValueError("a run starts outside the picture")
    flat = np.zeros(side * side, np.uint8)
    for start, length in pairs:
        flat[start : start + length] = 255
    mask = flat.reshape(side, side)
    mask[[0, -1]] = 255
    mask[:, [0, -1]] = 255
    return mask


def _edits(images: Path, key: str, item: Json) -> Iterator[Entry | Problem]:
    if not isinstance(item, dict) or not all(isinstance(item.get(name), str) for name in _TEXTS):
        yield Problem(key, f"one of {', '.join(_TEXTS)} is missing", f"correct {_LISTING}")
        return
    path = below(images, item.get("image_path"))
    if path is None:
        yield Problem(key, "it has no valid image_path", f"correct {_LISTING}")
        return
    try:
        mask = encode_png(decode_runs(item["mask"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        yield Problem(key, f"its mask cannot be decoded: {error}", f"correct {_LISTING}")
        return
    yield Entry(key, _sample(key, item, path), path, mask=Image(mask, f"{key}-mask.png"))


def _sample(key: str, item: dict[str, Json], path: Path) -> EditSample:
    prompts = {name: item[name].replace("[", "").replace("]", "") for name in _TEXTS[:2]}
    return EditSample(
        id=key,
        source=BLANK,
        instruction=item["editing_instruction"],
        edit_type=edit_type(item.get("editing_type_id"), PIE_BENCH),
        source_caption=prompts["original_prompt"],
        target_caption=prompts["editing_prompt"],
        provenance=Provenance(
            "pie-bench",
            "1",
            parameters={name: item[name] for name in _KEPT if name in item},
            source_uri=path.absolute().as_uri(),
        ),
    )
