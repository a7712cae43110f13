"""Edit several pictures, a folder or a glob by the same instructions, with one loaded editor."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from PIL import Image as Pillow

from editloop.editors.edit import (
    check_arrays,
    check_editor,
    check_instructions,
    edit_sessions,
    editor_of,
)
from editloop.editors.edit_files import EditFiles, facts_of, in_parts, references_in
from editloop.editors.named_files import listed_masks, listed_pictures, masks_of
from editloop.errors import EditLoopError, ImageError, InstructionError, RecipeError
from editloop.images.files import check_format, pixels_in, read_bytes, read_mask
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.schema import Editor, EditRequest, Json, Pixels

__all__ = ["EditedPicture", "edit_pictures"]


@dataclass(frozen=True, slots=True)
class EditedPicture:
    """One picture's result: the files, or the error why there are none; `number` of `total`."""

    image: Path
    files: tuple[Path, ...]
    error: EditLoopError | None
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class _Job:
    image: Path
    mask: Path | None
    files: EditFiles
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of every picture."""

    instructions: Sequence[str]
    seeds: Sequence[int]
    reading: MaskReading
    references: tuple[Pixels, ...]
    allow_large: bool

    def requests(self, job: _Job) -> list[EditRequest]:
        """Return a picture's first request for each seed; ImageError if a file cannot be read."""
        data = read_bytes(job.image)
        pixels = pixels_in(data, job.image, allow_large=self.allow_large)
        mask = None
        if job.mask is not None:
            reading, large = self.reading, self.allow_large
            mask = read_mask(job.mask, reading, photo=data, allow_large=large)
        try:
            check_arrays(pixels, mask)
        except ImageError as error:
            raise error.of(job.mask or job.image) from None
        first = EditRequest("edit", pixels, "", mask=mask, references=self.references)
        return [replace(first, seed=seed) for seed in self.seeds]


def edit_pictures(
    images: Sequence[Path],
    instructions: Sequence[str],
    output: Path,
    *,
    editor: str = "darkroom",
    settings: Mapping[str, Json],
    masks: Path | None = None,
    reading: MaskReading = BY_CONTENT,
    references: Sequence[Path] = (),
    seeds: Sequence[int] = (0,),
    allow_large: bool = False,
) -> Iterator[EditedPicture]:
    """Edit each picture by the same instructions; yield each one's result once its files exist.

    `images` are files, folders (with their subfolders) and globs; `output` is a folder, and edits
    are named as `edit_to_files` does. `masks` is a folder or a glob with a mask for each picture
    (see `named_files`); `references` are shown with every picture. The editor is created once, and
    gets pictures of one size together. A picture that is edited already is not edited again. One
    that cannot be read, or that the editor does not edit, does not stop the others. Raises
    RecipeError if there is no picture, if `output` is a file, if two edits would have one name, if
    a picture has no mask, and if the editor takes no masks or references.
    """
    check_instructions(instructions)
    if output.suffix and not output.is_dir():
        raise RecipeError(
            "several pictures need a folder", value=output, fix="name a folder with -o FOLDER"
        )
    known = {} if masks is None else listed_masks(masks)
    listed = listed_pictures(images, output, known)
    places = _places(listed, output)
    own_masks = {} if masks is None else masks_of(listed, known)
    made = editor_of(editor, settings)
    check_editor(made, mask=masks is not None, references=references)
    further = list(map(read_bytes, references))
    shown = references_in(further, references, allow_large=allow_large)
    asked = _Asked(instructions, seeds, reading, shown, allow_large)
    jobs: list[_Job] = []
    number = 0

    def result(image: Path, files: EditFiles | None, error: EditLoopError | None) -> EditedPicture:
        nonlocal number
        number += 1
        paths = () if files is None or error else tuple(files.paths)
        return EditedPicture(image, paths, error, number, len(places))

    for image, last in places.items():
        mask = own_masks.get(image)
        try:
            check_format(last)
            data, masked = read_bytes(image), None if mask is None else read_bytes(mask)
            facts = facts_of(
                made, editor, settings, data, masked=masked, reading=reading, references=further
            )
            files = EditFiles(last, instructions, seeds, facts)
            files.check([image, *references] if mask is None else [image, mask, *references])
        except ImageError as error:
            yield result(image, None, error)
            continue
        if all(map(files.are_made, seeds)):
            yield result(image, files, None)
        else:
            jobs.append(_Job(image, mask, files, _size(data)))
    jobs.sort(key=lambda job: job.size)
    for _, same in groupby(jobs, key=lambda job: job.size):
        for some in in_parts(list(same), max(1, getattr(made, "at_once", 1) // len(seeds))):
            for job, failed in _edited(made, some, asked):
                yield result(job.image, job.files, failed)


def _edited(
    made: Editor, jobs: Sequence[_Job], asked: _Asked
) -> Iterator[tuple[_Job, EditLoopError | None]]:
    """Edit some pictures together and write their files; yield the error of each, if any."""
    requests: list[EditRequest] = []
    read: list[_Job] = []
    for job in jobs:
        try:
            requests += asked.requests(job)
        except ImageError as error:
            yield job, error
            continue
        read.append(job)
    sessions = edit_sessions(made, requests, asked.instructions)
    parts = in_parts(list(range(len(sessions))), len(asked.seeds))
    for job, own in zip(read, parts, strict=True):
        failed = None
        for seed, at in zip(asked.seeds, own, strict=True):
            session = sessions[at]
            if isinstance(session, InstructionError):
                failed = session
            else:
                job.files.save(seed, session)
        if failed is None:
            list(job.files.save_sheet(requests[own[0]].image))
        yield job, failed


def _places(listed: Mapping[Path, Path], output: Path) -> dict[Path, Path]:
    """Return the file of each picture's edit; RecipeError if two have the same.

    Pictures that differ only in their extensions keep it in the name.
    """
    stems = Counter(name.with_suffix("") for name in listed.values())
    places: dict[Path, Path] = {}
    for image, name in listed.items():
        stem = name.name if stems[name.with_suffix("")] > 1 else name.stem
        places[image] = output / name.with_name(f"{stem}-edited.png")
    of_places: dict[Path, Path] = {}
    for image, place in places.items():
        if (other := of_places.setdefault(place, image)) != image:
            raise RecipeError(
                "two pictures have the same name",
                value=f"{other} and {image}",
                fix="give the folder that holds both, or edit them into two folders",
            )
    return places


def _size(data: bytes) -> tuple[int, int]:
    """Return the width and height in a picture's header; (0, 0) if it cannot be read."""
    try:
        with Pillow.open(io.BytesIO(data)) as image:
            return image.size
    except Exception:  # decoding the picture gives the cause
        return 0, 0
