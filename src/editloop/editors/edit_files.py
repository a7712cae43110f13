"""Edits of a picture as files that say how they were made: what the command `edit` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from editloop.editors.edit import contact_sheet, edit_seeds, editor_of
from editloop.images import codec
from editloop.images.files import (
    check_format,
    check_place,
    mask_in,
    pixels_in,
    read_bytes,
    read_pixels,
    save_pixels,
)
from editloop.images.metadata import facts_in
from editloop.registry import parse_spec
from editloop.schema import Json, Pixels
from editloop.storage.files import explained

__all__ = ["edit_to_files"]

_Told = dict[Path, dict[str, Json]]  # files, in the order of turns, and what each says


def edit_to_files(
    image: Path,
    instructions: Sequence[str],
    output: Path | None,
    *,
    editor: str = "darkroom",
    settings: Mapping[str, Json],
    mask: Path | None = None,
    seeds: Sequence[int] = (0,),
) -> Iterator[Path]:
    """Edit a picture, and write each turn of each seed; gives the files as they are there.

    `output` is the last turn's file, or a folder for it; left out, it lies beside the picture.
    Earlier turns and several seeds are told by its name's end, and the seeds are shown on a sheet.
    A seed whose files say that they were made so is not edited again. Where a file cannot be
    written, or another picture has its name, nothing is edited.
    """
    data, masked = read_bytes(image), None if mask is None else read_bytes(mask)
    last = _place(image, output)
    check_format(last)
    made = editor_of(editor, settings)
    source = pixels_in(data, image)
    region = None if mask is None or masked is None else mask_in(masked, mask)
    facts: dict[str, Json] = {
        "editor": made.name,
        "fingerprint": made.fingerprint,
        "source": codec.content_hash(data),
        "mask": None if masked is None else codec.content_hash(masked),
        "settings": _said(editor, settings),
    }
    one = len(seeds) == 1
    files = {seed: _of_seed(last, instructions, seed, facts, one=one) for seed in seeds}
    sheet = {} if one else _sheet(last, instructions, seeds, facts)
    for path in (*chain(*files.values()), *sheet):
        check_place(path, [image] if mask is None else [image, mask])
    for some in _in_parts(seeds, getattr(made, "at_once", 1)):
        asked = [seed for seed in some if not _is_made(files[seed])]
        if asked:
            sessions = edit_seeds(source, instructions, asked, editor=made, mask=region)
            for seed, session in zip(asked, sessions, strict=True):
                _save(files[seed], session)
        for seed in some:
            yield from files[seed]
    for path, told in sheet.items():  # of the files, as some were there before
        shown = [source, *(read_pixels([*files[seed]][-1]) for seed in seeds)]
        save_pixels(path, contact_sheet(shown), told)
        yield path


def _said(editor: str, settings: Mapping[str, Json]) -> dict[str, Json]:
    """What was set, in the SPEC and beside it; not which model."""
    said = {**parse_spec(editor, "editor").settings, **settings}
    return {name: value for name, value in said.items() if name != "target"}


def _of_seed(
    last: Path, instructions: Sequence[str], seed: int, facts: Mapping[str, Json], *, one: bool
) -> _Told:
    """A file for each turn of one seed."""
    path = last if one else last.with_stem(f"{last.stem}-seed-{seed}")
    count = len(instructions)
    return {
        path if turn == count else path.with_stem(f"{path.stem}-{turn}"): {
            **facts,
            "instructions": list(instructions[:turn]),
            "seed": seed,
        }
        for turn in range(1, count + 1)
    }


def _sheet(
    last: Path, instructions: Sequence[str], seeds: Sequence[int], facts: Mapping[str, Json]
) -> _Told:
    """The file that shows several seeds."""
    told = {**facts, "instructions": list(instructions), "seeds": list(seeds)}
    return {last.with_stem(f"{last.stem}-sheet"): told}


def _in_parts(seeds: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (seeds[start : start + size] for start in range(0, len(seeds), size))


def _is_made(files: _Told) -> bool:
    return all(
        path.exists() and facts_in(path.read_bytes()) == told for path, told in files.items()
    )


def _save(files: _Told, session: Sequence[Pixels]) -> None:
    for (path, told), pixels in zip(files.items(), session, strict=True):
        save_pixels(path, pixels, told)


def _place(image: Path, output: Path | None) -> Path:
    name = f"{image.stem}-edited.png"
    if output is None:
        return image.with_name(name)
    with explained("write a picture", output):
        return output / name if output.is_dir() or not output.suffix else output
