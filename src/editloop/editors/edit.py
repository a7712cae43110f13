"""Edit one picture by instructions, with any editor: what `editloop edit` calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path

import numpy as np

from editloop.errors import ImageError, InstructionError, RecipeError
from editloop.images import codec
from editloop.images.files import read_mask, read_pixels, save_pixels
from editloop.registry import load, parse_spec
from editloop.schema import Editor, EditRequest, Json, Mask, Pixels, Unedited

__all__ = [
    "contact_sheet",
    "edit",
    "edit_seeds",
    "editor_of",
    "read_mask",
    "read_pixels",
    "save_pixels",
]

_SHEET_SIDE = 384  # pixels of a picture's longer side on a contact sheet, at most
_SHEET_ROW = 4  # pictures, at least where there are as many
_SEEDS = 2**63  # how many there are: generators take no larger ones


def edit(
    image: Pixels | Path | str,
    instructions: Sequence[str] | str,
    *,
    editor: Editor | str = "darkroom",
    mask: Mask | Path | str | None = None,
    seed: int = 0,
    **settings: Json,
) -> list[Pixels]:
    """The picture after each instruction; several make a session, each on the last one's result.

    `editor` is an editor or its SPEC; `settings`, such as `steps=20` or `reward="5,5,5"`, are those
    of a SPEC and win over what it says itself. Every result has the size of `image`. An instruction
    that the editor does not carry out raises InstructionError with the editor's reason.
    """
    return edit_seeds(image, instructions, [seed], editor=editor, mask=mask, **settings)[0]


def edit_seeds(
    image: Pixels | Path | str,
    instructions: Sequence[str] | str,
    seeds: Sequence[int],
    *,
    editor: Editor | str = "darkroom",
    mask: Mask | Path | str | None = None,
    **settings: Json,
) -> list[list[Pixels]]:
    """What `edit` returns, for each of several seeds; the editor is asked for all of them at once.

    A setting that the editor doesn't have raises RecipeError with those it has; so does a mask for
    an editor that takes none.
    """
    pixels = image if not isinstance(image, Path | str) else read_pixels(Path(image))
    region = mask if not isinstance(mask, Path | str) else read_mask(Path(mask))
    turns = [instructions] if isinstance(instructions, str) else instructions
    _check_arrays(pixels, region)
    _check_words(turns, seeds)
    if settings and not isinstance(editor, str):
        raise RecipeError(
            "an editor that is made already takes no settings",
            value=", ".join(settings),
            fix="give its SPEC, or make it with them",
        )
    made = editor_of(editor, settings) if isinstance(editor, str) else editor
    if region is not None and not getattr(made, "uses_mask", True):
        raise RecipeError(
            "this editor takes no mask and would edit everywhere",
            value=made.name,
            fix="leave out the mask, or name one that takes it: darkroom, inpaint:MODEL, or a "
            "model with `mask` among its conditions",
        )
    first = EditRequest(id="edit", turn=1, image=pixels, instruction="", mask=region)
    sessions: list[list[Pixels]] = [[] for _ in seeds]
    requests = [replace(first, seed=seed) for seed in seeds]
    for turn, instruction in enumerate(turns, start=1):
        requests = [replace(each, turn=turn, instruction=instruction) for each in requests]
        answers = _answers(made, requests)
        for session, answer in zip(sessions, answers, strict=True):
            session.append(answer)
        requests = [replace(each, image=it) for each, it in zip(requests, answers, strict=True)]
    return sessions


def editor_of(spec: str, settings: Mapping[str, Json]) -> Editor:
    """The editor of a SPEC with some settings more; RecipeError names those that it has."""
    parsed = parse_spec(spec, "editor")
    kind = load("editor", parsed.kind)
    known = sorted(kind.Settings.model_fields) if hasattr(kind, "Settings") else []
    for name in settings:
        if name not in known:
            raise RecipeError(
                f"the editor {parsed.name} has no setting {name}",
                value=settings[name],
                fix=f"its settings: {', '.join(known) or 'none'}",
            )
    made: Editor = replace(parsed, settings={**parsed.settings, **settings}).create("editor")
    return made


def _check_arrays(pixels: Pixels, mask: Mask | None) -> None:
    """Raise ImageError for arrays that are no picture and mask of one size."""
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or not pixels.size:
        raise ImageError(
            "not-pixels",
            "an array that is no picture",
            value=f"{pixels.dtype} {list(pixels.shape)}",
            fix="give uint8 [height, width, 3], red first, or the path of a file",
        )
    if mask is None:
        return
    if mask.shape != pixels.shape[:2]:
        raise ImageError(
            "size-mismatch",
            "mask and picture differ in size",
            value=f"mask {_size(mask)}, picture {_size(pixels)}",
            fix="give a mask of the picture's size",
        )
    if mask.dtype != np.uint8 or not np.isin(mask, (0, 255)).all():
        raise ImageError(
            "not-a-mask",
            "an array that is no mask",
            value=f"{mask.dtype} from {mask.min()} to {mask.max()}",
            fix="give uint8 of 0 and 255 (255 where editing is allowed), or the path of a file",
        )


def _check_words(turns: Sequence[str], seeds: Sequence[int]) -> None:
    if not turns or not all(turn.strip() for turn in turns):
        raise InstructionError("an instruction is empty", value=list(turns), fix="say what to edit")
    for seed in seeds:
        if not 0 <= seed < _SEEDS:
            raise RecipeError("no such seed", value=seed, fix=f"give one from 0 to {_SEEDS - 1}")


def _answers(editor: Editor, requests: Sequence[EditRequest]) -> list[Pixels]:
    answers: list[Pixels] = []
    for request, answer in zip(requests, editor.edit(requests), strict=True):
        if isinstance(answer, Unedited):
            raise InstructionError(
                f"{editor.name} made no edit at turn {request.turn}",
                value=request.instruction,
                fix=answer.reason,
            )
        answers.append(answer)
    return answers


def contact_sheet(pictures: Sequence[Pixels]) -> Pixels:
    """Pictures of one size on one, four in a row or, of many, about as many as there are rows.

    Large ones are made smaller.
    """
    height, width = pictures[0].shape[:2]
    factor = min(1.0, _SHEET_SIDE / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    tiles = [codec.resize(each, *size) for each in pictures]
    columns = min(max(_SHEET_ROW, isqrt(len(tiles))), len(tiles))
    white = np.full((*size, 3), 255, np.uint8)
    tiles += [white] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _size(pixels: Pixels | Mask) -> str:
    return "x".join(map(str, pixels.shape[1::-1]))
