"""Edits of a picture as files that say how they were made: what the command `edit` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from editloop import images
from editloop.editing import contact_sheet, edit_seeds, editor_of
from editloop.files import explained
from editloop.picture_files import (
    check_format,
    check_place,
    mask_in,
    pixels_in,
    read_bytes,
    save_pixels,
)
from editloop.registry import parse_spec
from editloop.schema import Json

__all__ = ["edit_to_files"]

_Told = dict[Path, dict[str, Json]]  # files to write, and what each says


def edit_to_files(
    image: Path,
    instructions: Sequence[str],
    output: Path | None = None,
    *,
    seeds: Sequence[int] = (0,),
    editor: str = "darkroom",
    mask: Path | None = None,
    settings: Mapping[str, Json],
) -> Iterator[Path]:
    """Edit by each seed and write every turn's result; yields the files as they are written.

    `output` is the last turn's file, or a folder for it; left out, it lies beside the picture.
    Earlier turns and several seeds are told by its name's end, and the seeds are shown on a sheet.
    Where a file cannot be written, or another picture has its name, nothing is edited.
    """
    data, masked = read_bytes(image), None if mask is None else read_bytes(mask)
    last = _place(image, output)
    check_format(last)
    made = editor_of(editor, settings)
    source = pixels_in(data, image)
    region = None if mask is None or masked is None else mask_in(masked, mask)
    own = {**parse_spec(editor, "editor").settings, **settings}
    facts = {
        "editor": made.name,
        "fingerprint": made.fingerprint,
        "source": images.content_hash(data),
        "mask": None if masked is None else images.content_hash(masked),
        "settings": {name: value for name, value in own.items() if name != "target"},
    }
    files = [_of_seed(last, instructions, seed, one=len(seeds) == 1) for seed in seeds]
    sheet = _sheet(last, instructions, seeds)
    told = {path: {**facts, **each} for part in (*files, sheet) for path, each in part.items()}
    for path in told:
        check_place(path, [image] if mask is None else [image, mask])
    sessions = edit_seeds(source, instructions, seeds, editor=made, mask=region)
    for part, session in zip(files, sessions, strict=True):
        for path, pixels in zip(part, session, strict=True):
            save_pixels(path, pixels, told[path])
            yield path
    for path in sheet:
        shown = contact_sheet([source, *(session[-1] for session in sessions)])
        save_pixels(path, shown, told[path])
        yield path


def _of_seed(last: Path, instructions: Sequence[str], seed: int, *, one: bool) -> _Told:
    """A file for each turn of one seed."""
    path = last if one else last.with_stem(f"{last.stem}-seed-{seed}")
    count = len(instructions)
    return {
        path if turn == count else path.with_stem(f"{path.stem}-{turn}"): {
            "instructions": list(instructions[:turn]),
            "seed": seed,
        }
        for turn in range(1, count + 1)
    }


def _sheet(last: Path, instructions: Sequence[str], seeds: Sequence[int]) -> _Told:
    """The file that shows several seeds; none for one."""
    if len(seeds) == 1:
        return {}
    told = {"instructions": list(instructions), "seeds": list(seeds)}
    return {last.with_stem(f"{last.stem}-sheet"): told}


def _place(image: Path, output: Path | None) -> Path:
    name = f"{image.stem}-edited.png"
    if output is None:
        return image.with_name(name)
    with explained("write a picture", output):
        return output / name if output.is_dir() or not output.suffix else output
