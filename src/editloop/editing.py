"""Edit one picture by instructions, with any editor: what `editloop edit` calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from editloop import images
from editloop.errors import ImageError, InstructionError, RecipeError
from editloop.files import explained
from editloop.registry import load, parse_spec
from editloop.schema import Editor, EditRequest, Json, Mask, Pixels, Unedited
from editloop.stamping import stamped

__all__ = [
    "check_format",
    "contact_sheet",
    "edit",
    "edit_seeds",
    "editor_of",
    "read_mask",
    "read_pixels",
    "save_pixels",
]

_FORMATS = (".png", ".jpg", ".jpeg")
_SHEET_SIDE = 384  # pixels of a picture's longer side on a contact sheet, at most
_SHEET_ROW = 4  # pictures


def edit(
    image: Pixels | Path | str,
    instructions: Sequence[str],
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
    instructions: Sequence[str],
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
    if region is not None and region.shape != pixels.shape[:2]:
        raise ImageError(
            "size-mismatch",
            "mask and picture differ in size",
            value=f"mask {_size(region)}, picture {_size(pixels)}",
            fix="give a mask of the picture's size",
        )
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
    for turn, instruction in enumerate(instructions, start=1):
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
    """Pictures of one size on one, four in a row; large ones are made smaller."""
    height, width = pictures[0].shape[:2]
    factor = min(1.0, _SHEET_SIDE / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    tiles = [images.resize(each, *size) for each in pictures]
    columns = min(_SHEET_ROW, len(tiles))
    white = np.full((*size, 3), 255, np.uint8)
    tiles += [white] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _size(pixels: Pixels | Mask) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def read_pixels(path: Path) -> Pixels:
    """A picture file as pixels."""
    return _named(images.decode, path)


def read_mask(path: Path) -> Mask:
    """A mask file; white is where editing is allowed."""
    return _named(images.decode_mask, path)


def check_format(path: Path) -> None:
    """Raise ImageError unless a picture can be written in the format of this name."""
    if path.suffix.lower() not in _FORMATS:
        raise ImageError(
            "unknown-format", "cannot write this format", value=path.name, fix="name a .png or .jpg"
        )


def save_pixels(path: Path, pixels: Pixels, facts: Mapping[str, Json] | None = None) -> None:
    """Write a picture in the format of its name: .png (lossless) or .jpg (quality 95).

    `facts` (JSON) stand in its metadata, under `editloop` or as the comment.
    """
    check_format(path)
    png = path.suffix.lower() == ".png"
    data = images.encode_png(pixels) if png else images.encode_jpeg(pixels, 95)
    with explained("write a picture", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if facts is None else stamped(data, facts))


def _named(decode: Callable[[bytes], Pixels], path: Path) -> Pixels:
    """What a file holds; an error names the file."""
    try:
        return decode(path.read_bytes())
    except OSError as error:
        raise ImageError(
            "unreadable",
            f"cannot read a picture ({error.strerror})",
            value=path,
            fix="name a file that is there and can be read",
        ) from error
    except ImageError as error:
        raise ImageError(error.code, error.cause, value=path, fix=error.fix) from error
