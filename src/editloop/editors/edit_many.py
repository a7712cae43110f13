"""Edit several pictures, a folder or a glob by the same instructions, with one loaded editor."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image as Pillow

from editloop.editors.edit import check_instructions, edit_sessions, editor_of
from editloop.editors.edit_files import EditFiles, facts_of, in_parts
from editloop.errors import EditLoopError, ImageError, InstructionError, RecipeError
from editloop.images.files import check_format, pixels_in, read_bytes
from editloop.schema import Editor, EditRequest, Json
from editloop.sources.files import EXTENSIONS

__all__ = ["EditedPicture", "edit_pictures", "names_several"]

_MAGIC = "*?["  # what makes a name a glob


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
    files: EditFiles
    size: tuple[int, int]


def names_several(image: Path) -> bool:
    """Return whether a path stands for several pictures: a folder, or a glob such as `*.png`."""
    return image.is_dir() or (not image.exists() and any(each in str(image) for each in _MAGIC))


def edit_pictures(
    images: Sequence[Path],
    instructions: Sequence[str],
    output: Path,
    *,
    editor: str = "darkroom",
    settings: Mapping[str, Json],
    seeds: Sequence[int] = (0,),
    allow_large: bool = False,
) -> Iterator[EditedPicture]:
    """Edit each picture by the same instructions; yield each one's result once its files exist.

    `images` are files, folders (with their subfolders) and globs; `output` is a folder, and edits
    are named as `edit_to_files` does. The editor is created once, and gets pictures of one size
    together. A picture that is edited already is not edited again. One that cannot be read, or that
    the editor does not edit, does not stop the others. Raises RecipeError if there is no picture,
    if `output` is a file, or if two edits would have one name.
    """
    check_instructions(instructions)
    if output.suffix and not output.is_dir():
        raise RecipeError(
            "several pictures need a folder", value=output, fix="name a folder with -o FOLDER"
        )
    places = _places(_listed(images, output), output)
    made = editor_of(editor, settings)
    jobs: list[_Job] = []
    number = 0

    def result(image: Path, files: EditFiles | None, error: EditLoopError | None) -> EditedPicture:
        nonlocal number
        number += 1
        paths = () if files is None or error else tuple(files.paths)
        return EditedPicture(image, paths, error, number, len(places))

    for image, last in places.items():
        try:
            check_format(last)
            data = read_bytes(image)
            facts = facts_of(made, editor, settings, data)
            files = EditFiles(last, instructions, seeds, facts)
            files.check([image])
        except ImageError as error:
            yield result(image, None, error)
            continue
        if all(map(files.are_made, seeds)):
            yield result(image, files, None)
        else:
            jobs.append(_Job(image, files, _size(data)))
    jobs.sort(key=lambda job: job.size)
    for _, same in groupby(jobs, key=lambda job: job.size):
        for some in in_parts(list(same), max(1, getattr(made, "at_once", 1) // len(seeds))):
            for job, failed in _edited(made, some, instructions, seeds, allow_large):
                yield result(job.image, job.files, failed)


def _edited(
    made: Editor,
    jobs: Sequence[_Job],
    instructions: Sequence[str],
    seeds: Sequence[int],
    allow_large: bool,
) -> Iterator[tuple[_Job, EditLoopError | None]]:
    """Edit some pictures together and write their files; yield the error of each, if any."""
    requests: list[EditRequest] = []
    asked: list[_Job] = []
    for job in jobs:
        try:
            pixels = pixels_in(read_bytes(job.image), job.image, allow_large=allow_large)
        except ImageError as error:
            yield job, error
            continue
        asked.append(job)
        requests += [
            EditRequest(id="edit", turn=1, image=pixels, instruction="", mask=None, seed=seed)
            for seed in seeds
        ]
    sessions = edit_sessions(made, requests, instructions)
    for job, own in zip(asked, in_parts(list(range(len(sessions))), len(seeds)), strict=True):
        failed = None
        for seed, at in zip(seeds, own, strict=True):
            session = sessions[at]
            if isinstance(session, InstructionError):
                failed = session
            else:
                job.files.save(seed, session)
        if failed is None:
            list(job.files.save_sheet(requests[own[0]].image))
        yield job, failed


def _listed(images: Sequence[Path], output: Path) -> list[tuple[Path, Path]]:
    """Return the pictures that the names stand for, each with its name below the output folder."""
    found: dict[Path, Path] = {}
    for image in images:
        if image.is_dir():
            inside = sorted(each for each in image.rglob("*") if _is_picture(each))
            own = {each: each.relative_to(image) for each in inside}
        elif names_several(image):
            matched = sorted(Path(image.anchor).glob(str(image.relative_to(image.anchor))))
            own = {each: Path(each.name) for each in matched if _is_picture(each)}
        else:
            own = {image: Path(image.name)}
        below = output.resolve()
        if own.keys() != {image}:  # edits of an earlier call are no pictures to edit
            own = {each: name for each, name in own.items() if below not in each.resolve().parents}
        if not own:
            raise RecipeError(
                "there is no picture", value=image, fix="name pictures, a folder of them or a glob"
            )
        found |= own
    return list(found.items())


def _places(listed: Sequence[tuple[Path, Path]], output: Path) -> dict[Path, Path]:
    """Return the file of each picture's edit; RecipeError if two have the same.

    Pictures that differ only in their extensions keep it in the name.
    """
    stems = Counter(name.with_suffix("") for _, name in listed)
    places: dict[Path, Path] = {}
    for image, name in listed:
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


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def _size(data: bytes) -> tuple[int, int]:
    """Return the width and height in a picture's header; (0, 0) if it cannot be read."""
    try:
        with Pillow.open(io.BytesIO(data)) as image:
            return image.size
    except Exception:  # decoding the picture gives the cause
        return 0, 0
