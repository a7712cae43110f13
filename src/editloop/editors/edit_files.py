"""Write edits of a picture as files that record how they were made, as `editloop edit` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TypeAlias, TypeVar

from editloop.editors.edit import (
    check_arrays,
    check_instructions,
    contact_sheet,
    edit_seeds,
    editor_of,
)
from editloop.editors.named_files import listed_masks, masks_of, names_several
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
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.images.metadata import facts_in
from editloop.registry import parse_spec
from editloop.schema import Editor, Json, Pixels
from editloop.storage.files import explained

__all__ = ["EditFiles", "Facts", "edit_to_files", "facts_of", "in_parts", "references_in"]

Facts: TypeAlias = Mapping[str, Json]
_T = TypeVar("_T")
_FileFacts = dict[Path, dict[str, Json]]  # each file's metadata, in the order of turns


def edit_to_files(
    image: Path,
    instructions: Sequence[str],
    output: Path | None,
    *,
    editor: str = "darkroom",
    settings: Mapping[str, Json],
    mask: Path | None = None,
    reading: MaskReading = BY_CONTENT,
    references: Sequence[Path] = (),
    seeds: Sequence[int] = (0,),
    allow_large: bool = False,
) -> Iterator[Path]:
    """Edit a picture and write each turn of each seed; yield each file's path once it exists.

    `output` is the last turn's file, or a folder for it; by default the file is written next to the
    picture. `mask` is a file, or a folder or glob with one of the picture's name (`named_files`);
    `reading` decides where it allows editing; `references` are further pictures that the
    instructions speak of. Earlier turns and several seeds get a suffix in the name, and several
    seeds also get a contact sheet. A seed whose files record the same edit is not edited again.
    Nothing is edited if a file cannot be written or its name is taken by another picture.
    """
    check_instructions(instructions)
    if mask is not None and names_several(mask):
        mask = masks_of({image: Path(image.name)}, listed_masks(mask))[image]
    data, masked = read_bytes(image), None if mask is None else read_bytes(mask)
    last = _place(image, output)
    check_format(last)
    made = editor_of(editor, settings)
    source = pixels_in(data, image, allow_large=allow_large)
    region = (
        None
        if mask is None or masked is None
        else mask_in(masked, mask, reading, photo=data, allow_large=allow_large)
    )
    check_arrays(source, region)
    further = list(map(read_bytes, references))
    facts = facts_of(
        made, editor, settings, data, masked=masked, reading=reading, references=further
    )
    files = EditFiles(last, instructions, seeds, facts)
    files.check([image, *references] if mask is None else [image, mask, *references])
    for some in in_parts(seeds, getattr(made, "at_once", 1)):
        asked = [seed for seed in some if not files.are_made(seed)]
        if asked:
            sessions = edit_seeds(
                source,
                instructions,
                asked,
                editor=made,
                mask=region,
                references=references_in(further, references, allow_large=allow_large),
            )
            for seed, session in zip(asked, sessions, strict=True):
                files.save(seed, session)
        for seed in some:
            yield from files.of_seeds[seed]
    yield from files.save_sheet(source)


def references_in(
    data: Sequence[bytes], paths: Sequence[Path], *, allow_large: bool
) -> tuple[Pixels, ...]:
    """Decode reference pictures from the bytes of their files."""
    pairs = zip(data, paths, strict=True)
    return tuple(pixels_in(each, path, allow_large=allow_large) for each, path in pairs)


class EditFiles:
    """The files of one picture's edits, by seed and turn, each with the metadata it records."""

    def __init__(
        self, last: Path, instructions: Sequence[str], seeds: Sequence[int], facts: Facts
    ) -> None:
        one = len(seeds) == 1
        self.of_seeds = {seed: _of_seed(last, instructions, seed, facts, one=one) for seed in seeds}
        self._sheet = {} if one else _sheet(last, instructions, seeds, facts)

    def check(self, shown: Sequence[Path]) -> None:
        """Raise an error if one cannot be written, or is not our edit (see `check_place`)."""
        for path in self.paths:
            check_place(path, shown)

    @property
    def paths(self) -> list[Path]:
        """All files, the contact sheet last."""
        return [*chain(*self.of_seeds.values()), *self._sheet]

    def are_made(self, seed: int) -> bool:
        """Return whether the files of a seed exist and record the same edit."""
        return all(
            path.exists() and facts_in(path.read_bytes()) == own
            for path, own in self.of_seeds[seed].items()
        )

    def save(self, seed: int, session: Sequence[Pixels]) -> None:
        """Write each turn of a seed."""
        for (path, own), pixels in zip(self.of_seeds[seed].items(), session, strict=True):
            save_pixels(path, pixels, own)

    def save_sheet(self, source: Pixels) -> Iterator[Path]:
        """Write the contact sheet of several seeds, from their files; yield its path."""
        for path, own in self._sheet.items():
            edits = [read_pixels([*each][-1]) for each in self.of_seeds.values()]
            save_pixels(path, contact_sheet([source, *edits]), own)
            yield path


def facts_of(
    made: Editor,
    editor: str,
    settings: Mapping[str, Json],
    data: bytes,
    *,
    masked: bytes | None = None,
    reading: MaskReading = BY_CONTENT,
    references: Sequence[bytes] = (),
) -> Facts:
    """Return what an edit of the picture in `data` records, beside its instructions and seed."""
    return {
        "editor": made.name,
        "fingerprint": made.fingerprint,
        "source": codec.content_hash(data),
        "mask": None if masked is None else codec.content_hash(masked),
        **({} if reading == BY_CONTENT else {"mask_reading": asdict(reading)}),
        **({"references": list(map(codec.content_hash, references))} if references else {}),
        "settings": _all_settings(editor, settings),
    }


def _all_settings(editor: str, settings: Mapping[str, Json]) -> dict[str, Json]:
    """Return the settings of the SPEC and the additional ones, without the model's name."""
    given = {**parse_spec(editor, "editor").settings, **settings}
    return {name: value for name, value in given.items() if name != "target"}


def _of_seed(
    last: Path, instructions: Sequence[str], seed: int, facts: Facts, *, one: bool
) -> _FileFacts:
    """Return the files of one seed, one per turn, with their metadata."""
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
    last: Path, instructions: Sequence[str], seeds: Sequence[int], facts: Facts
) -> _FileFacts:
    """Return the contact sheet of several seeds with its metadata."""
    own = {**facts, "instructions": list(instructions), "seeds": list(seeds)}
    return {last.with_stem(f"{last.stem}-sheet"): own}


def in_parts(each: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Yield consecutive parts of a sequence, each of at most `size` elements."""
    return (each[start : start + size] for start in range(0, len(each), size))


def _place(image: Path, output: Path | None) -> Path:
    name = f"{image.stem}-edited.png"
    if output is None:
        return image.with_name(name)
    with explained("write a picture", output):
        return output / name if output.is_dir() or not output.suffix else output
