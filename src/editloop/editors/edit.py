"""Edit one picture by instructions, with any editor; the Python call behind `editloop edit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isqrt
from pathlib import Path

import numpy as np

from editloop.editors.requests import sees
from editloop.editors.sessions import UnscaledEditor, edit_unscaled, scaled_back
from editloop.errors import ImageError, InstructionError, RecipeError
from editloop.images import codec
from editloop.images.files import pixels_in, read_bytes, read_mask, read_pixels, save_pixels
from editloop.images.mask_levels import MaskLevels, allowed
from editloop.images.masks import BY_CONTENT, NOWHERE, MaskReading, is_nowhere, mask_reading
from editloop.registry import parse_spec, settings_of
from editloop.schema import Editor, EditRequest, Json, Mask, Pixels, Unedited
from editloop.sources.files import names_a_file

__all__ = [
    "check_arrays",
    "check_editor",
    "check_instructions",
    "contact_sheet",
    "edit",
    "edit_seeds",
    "edit_sessions",
    "editor_of",
    "read_mask",
    "read_pixels",
    "save_pixels",
]

_SHEET_SIDE = 384  # the longest side of a picture on a contact sheet, in pixels
_SHEET_ROW = 4  # the fewest pictures in a full row of a contact sheet
_SEEDS = 2**63  # the number of seeds: generators take no larger ones


def edit(
    image: Pixels | Path | str,
    instructions: Sequence[str] | str,
    *,
    editor: Editor | str = "darkroom",
    mask: Mask | Path | str | None = None,
    mask_rule: str | None = None,
    invert_mask: bool = False,
    references: Sequence[Pixels | Path | str] = (),
    seed: int = 0,
    allow_large: bool = False,
    **settings: Json,
) -> list[Pixels]:
    """Return the picture after each instruction; each edit starts from the previous result.

    An editor that works at a size of its own goes on from its result at that size, so that nothing
    is lost by scaling between the turns. `editor` is an editor or its SPEC; `settings`, such as
    `steps=20` or `reward="5,5,5"`, override those in the SPEC. `mask` is an array of 0 and 255
    (where editing is allowed), or a file, which is read by `mask_rule` and `invert_mask` (see
    `images.masks`). `references` are further pictures, of any size, that the instructions speak of;
    only some editors take any. A picture of more than 64 megapixels needs `allow_large`. Every
    result has the size of `image`. Raises InstructionError, with the editor's reason, for an
    instruction that the editor does not carry out, and for one that is the name of a file.
    """
    return edit_seeds(
        image,
        instructions,
        [seed],
        editor=editor,
        mask=mask,
        mask_rule=mask_rule,
        invert_mask=invert_mask,
        references=references,
        allow_large=allow_large,
        **settings,
    )[0]


def edit_seeds(
    image: Pixels | Path | str,
    instructions: Sequence[str] | str,
    seeds: Sequence[int],
    *,
    editor: Editor | str = "darkroom",
    mask: Mask | Path | str | None = None,
    mask_rule: str | None = None,
    invert_mask: bool = False,
    references: Sequence[Pixels | Path | str] = (),
    allow_large: bool = False,
    **settings: Json,
) -> list[list[Pixels]]:
    """Return the result of `edit` for each of several seeds, sent to the editor in one batch.

    Raises RecipeError for a setting that the editor doesn't have, and for a mask or references
    where the editor takes none; ImageError for a mask that is all black, as it allows editing
    nowhere.
    """
    photo: bytes | None = None
    if isinstance(image, Path | str):
        photo = read_bytes(Path(image))
        image = pixels_in(photo, Path(image), allow_large=allow_large)
    reading = mask_reading(mask_rule, invert=invert_mask)
    region = _region(mask, reading, photo, allow_large=allow_large)
    further = tuple(
        each if isinstance(each, np.ndarray) else _read(Path(each), allow_large)
        for each in references
    )
    turns = [instructions] if isinstance(instructions, str | Path) else instructions
    check_arrays(image, region)
    for each in further:
        check_arrays(each, None)
    check_instructions(turns)
    _check_seeds(seeds)
    if settings and not isinstance(editor, str):
        raise RecipeError(
            "settings cannot be given for an editor object",
            value=", ".join(settings),
            fix="give the editor's SPEC, or create the editor with these settings",
        )
    made = editor_of(editor, settings) if isinstance(editor, str) else editor
    check_editor(made, mask=region is not None, references=further)
    first = EditRequest(
        id="edit", turn=1, image=image, instruction="", mask=region, references=further
    )
    sessions = edit_sessions(made, [replace(first, seed=seed) for seed in seeds], turns)
    for session in sessions:
        if isinstance(session, InstructionError):
            raise session
    return [each for each in sessions if not isinstance(each, InstructionError)]


def edit_sessions(
    editor: Editor, firsts: Sequence[EditRequest], turns: Sequence[str]
) -> list[list[Pixels] | InstructionError]:
    """Return each picture after each turn, or the error of the turn that was not carried out.

    The requests of a turn are sent to the editor together. `firsts` need no instruction.
    """
    sessions: list[list[Pixels] | InstructionError] = [[] for _ in firsts]
    requests = dict(enumerate(firsts))
    for turn, instruction in enumerate(turns, start=1):
        asked = [replace(each, turn=turn, instruction=instruction) for each in requests.values()]
        answers = edit_unscaled(editor, asked) if asked else []
        for index, answer in zip(list(requests), answers, strict=True):
            session = sessions[index]
            if isinstance(answer, Unedited):
                sessions[index] = InstructionError(
                    f"{editor.name} made no edit at turn {turn}",
                    value=instruction,
                    fix=answer.reason,
                )
                del requests[index]
                continue
            assert isinstance(session, list)
            session.append(scaled_back(editor, answer, firsts[index]))
            fitted = isinstance(editor, UnscaledEditor)
            requests[index] = replace(firsts[index], image=answer, fitted=fitted)
    return sessions


def editor_of(spec: str, settings: Mapping[str, Json]) -> Editor:
    """Create the editor of a SPEC with additional settings; RecipeError for an unknown setting."""
    parsed = parse_spec(spec, "editor")
    known = sorted(settings_of("editor", parsed.kind).model_fields)
    for name in settings:
        if name not in known:
            raise RecipeError(
                f"the editor {parsed.name} has no setting {name}",
                value=settings[name],
                fix=f"its settings: {', '.join(known) or 'none'}",
            )
    made: Editor = replace(parsed, settings={**parsed.settings, **settings}).create("editor")
    return made


def check_editor(editor: Editor, *, mask: bool, references: Sequence[object]) -> None:
    """Raise RecipeError if a mask or references are given, and the editor takes none."""
    if mask and not getattr(editor, "uses_mask", True):
        raise RecipeError(
            "this editor takes no mask and would edit everywhere",
            value=editor.name,
            fix="leave out the mask, or use an editor that takes one: darkroom, inpaint:MODEL, or "
            "a model with `mask` among its conditions",
        )
    if not sees(editor, references):
        raise RecipeError(
            "this editor takes no reference pictures and would edit without them",
            value=editor.name,
            fix="leave out the references, or use an editor that takes some: qwen-image-edit:MODEL "
            'with a later release ("Plus"), such as Qwen/Qwen-Image-Edit-2509',
        )


def _read(path: Path, allow_large: bool) -> Pixels:
    return pixels_in(read_bytes(path), path, allow_large=allow_large)


def _region(
    mask: Mask | Path | str | None, reading: MaskReading, photo: bytes | None, *, allow_large: bool
) -> Mask | None:
    """Return the mask as an array; a rule is applied to an array's values too."""
    if isinstance(mask, Path | str):
        return read_mask(Path(mask), reading, photo=photo, allow_large=allow_large)
    if mask is None or reading == BY_CONTENT or mask.ndim != 2 or mask.dtype != np.uint8:
        return mask
    return allowed(MaskLevels(mask), reading)


def check_arrays(pixels: Pixels, mask: Mask | None) -> None:
    """Raise ImageError unless the arrays are a valid picture and a mask that allows editing it."""
    if pixels.dtype != np.uint8 or pixels.shape[2:] != (3,) or not pixels.size:
        raise ImageError(
            "not-pixels",
            "the array is not a picture",
            value=f"{pixels.dtype} {list(pixels.shape)}",
            fix="give uint8 [height, width, 3] in RGB order, or the path of a file",
        )
    if mask is None:
        return
    if mask.shape != pixels.shape[:2]:
        raise ImageError(
            "size-mismatch",
            "mask and picture differ in size",
            value=f"mask {_size(mask)}, picture {_size(pixels)}",
            fix="give a mask of the picture's size (upright, if the photo is turned by EXIF)",
        )
    if mask.dtype != np.uint8 or not np.isin(mask, (0, 255)).all():
        raise ImageError(
            "not-a-mask",
            "the array is not a mask",
            value=f"{mask.dtype} from {mask.min()} to {mask.max()}",
            fix="give uint8 of 0 and 255 (255 where editing is allowed), or the path of a file",
        )
    if is_nowhere(mask):
        raise ImageError(
            "black-mask",
            NOWHERE,
            value=f"mask {_size(mask)}",
            fix="paint white where editing is allowed, leave the mask out to edit everywhere, or "
            "add --invert-mask (invert_mask)",
        )


def check_instructions(turns: Sequence[str]) -> None:
    """Raise InstructionError if an instruction is empty or is the name of a file."""
    if not turns or not all(str(turn).strip() for turn in turns):
        raise InstructionError("an instruction is empty", value=list(turns), fix="say what to edit")
    for turn in map(str, turns):
        if names_a_file(turn.strip()):
            raise InstructionError(
                "an instruction is the name of a file",
                value=turn,
                fix="for several pictures, give what to change as --instruction; if the name is to "
                "be written into the picture, put it in quotes in a sentence",
            )


def _check_seeds(seeds: Sequence[int]) -> None:
    for seed in seeds:
        if not 0 <= seed < _SEEDS:
            raise RecipeError(
                "the seed is out of range", value=seed, fix=f"give one from 0 to {_SEEDS - 1}"
            )


def contact_sheet(pictures: Sequence[Pixels]) -> Pixels:
    """Return one picture with all pictures (of one size) in a grid; large ones are scaled down.

    A row has four pictures, or about the square root of their number if that is more.
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
