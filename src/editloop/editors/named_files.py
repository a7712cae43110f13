"""Pictures and masks as a command names them: files, folders and globs.

A mask belongs to the picture of the same name without suffix, in the same subfolder: `cat.png`,
`cat_mask.png` or `cat-mask.png` is the mask of `cat.jpg`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from editloop.errors import RecipeError
from editloop.sources.files import EXTENSIONS

__all__ = ["listed_masks", "listed_pictures", "masks_of", "names_several"]

_MAGIC = re.compile(r"[*?\[]")  # what makes a name a glob
_MASK_ENDING = re.compile(r"[_-]mask$", re.IGNORECASE)
_NAMED = 5  # pictures that an error names


def names_several(path: Path) -> bool:
    """Return whether a path stands for several files: a folder, or a glob such as `*.png`."""
    return path.is_dir() or (not path.exists() and _MAGIC.search(str(path)) is not None)


def listed_masks(masks: Path) -> dict[Path, Path]:
    """Return the masks in a folder or of a glob, each with its name below the folder.

    Raises RecipeError for a single file.
    """
    if not names_several(masks):
        raise RecipeError(
            "a mask belongs to one picture",
            value=masks,
            fix="edit that picture by itself, or give a folder or a glob of masks, each named as "
            "its picture",
        )
    return _pictures_in(masks)


def listed_pictures(
    images: Sequence[Path], output: Path, masks: Mapping[Path, Path]
) -> dict[Path, Path]:
    """Return the pictures that the names stand for, each with its name below the output folder.

    Edits of an earlier call, and masks, are no pictures to edit, unless they are named themselves.
    Raises RecipeError if a name stands for no picture.
    """
    found: dict[Path, Path] = {}
    below, others = output.resolve(), {each.resolve() for each in masks}
    for image in images:
        own = {image: Path(image.name)}
        if names_several(image):
            own = {
                each: name
                for each, name in _pictures_in(image).items()
                if below not in each.resolve().parents and each.resolve() not in others
            }
        if not own:
            raise RecipeError(
                "there is no picture", value=image, fix="name pictures, a folder of them or a glob"
            )
        found |= own
    return found


def masks_of(images: Mapping[Path, Path], masks: Mapping[Path, Path]) -> dict[Path, Path]:
    """Return each picture's mask, by their names below their folders.

    Raises RecipeError, with the first pictures, if some have no mask or several.
    """
    known: dict[str, list[Path]] = defaultdict(list)
    for mask, name in masks.items():
        stem = name.with_suffix("")
        known[stem.as_posix()].append(mask)
        if _MASK_ENDING.search(stem.name):
            known[_MASK_ENDING.sub("", stem.as_posix())].append(mask)
    found = {image: known[name.with_suffix("").as_posix()] for image, name in images.items()}
    for cause, wrong in (
        ("have no mask", [image for image, own in found.items() if not own]),
        ("have several masks", [image for image, own in found.items() if len(own) > 1]),
    ):
        if wrong:
            more = "" if len(wrong) <= _NAMED else f" and {len(wrong) - _NAMED:,} more"
            raise RecipeError(
                f"{len(wrong):,} of {len(found):,} pictures {cause}",
                value=f"{', '.join(map(str, wrong[:_NAMED]))}{more}",
                fix="name each mask as its picture; an all-white one allows editing everywhere",
            )
    return {image: own[0] for image, own in found.items()}


def _pictures_in(path: Path) -> dict[Path, Path]:
    """Return the pictures that a folder, with its subfolders, or a glob stands for.

    Each has its name below the folder, or below the part of the glob that is no pattern.
    """
    below = path
    while not below.is_dir():
        below = below.parent
    pattern = "**/*" if path.is_dir() else str(path.relative_to(below))
    found = sorted(each for each in below.glob(pattern) if _is_picture(each))
    return {each: each.relative_to(below) for each in found}


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")
