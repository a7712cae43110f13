"""The pictures of an edit as a source returns them: in the source's size, and maybe normalised.

A target or mask of almost the source's aspect ratio is resized to its size; any other is fitted as
asked for, or refused (`fitting`). Otherwise the pictures are unchanged, unless they are normalised:
then source and target are upright 8 bit sRGB without alpha (`images.decode`; a JPEG or PNG that
already is keeps its bytes), and the mask is white where editing is allowed and black elsewhere. The
provenance says what was resized, and that a mask was read by its transparency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from editloop.errors import FailureClass, ImageError
from editloop.images.codec import decode, decode_mask, encode_png, is_plain, is_see_through
from editloop.images.masks import BY_CONTENT, MaskReading
from editloop.images.shapes import difference, is_near
from editloop.kernel.steps import Fail, Keep, Outcome
from editloop.schema import EditSample, Image, Json
from editloop.sources.checks import picture_size
from editloop.sources.entries import REFERENCE, Entry, Picture
from editloop.sources.files import read_file
from editloop.sources.fitting import Fit, fits, fitted
from editloop.sources.layout_masks import settled

__all__ = ["MASK_READ_BY", "TRANSPARENCY", "with_pictures"]

# The note in a sample's provenance about a mask whose transparent part was taken as the region.
MASK_READ_BY, TRANSPARENCY = "mask_read_by", "transparency"

_PERMANENT = FailureClass.PERMANENT


def with_pictures(
    entry: Entry,
    read: dict[Picture, Image | Fail],
    reading: MaskReading,
    *,
    normalise: bool,
    fit: Fit = "refuse",
) -> Outcome:
    """Return the edit's sample with its pictures; `read` caches the pictures that were read."""
    images: dict[str, Image] = {}
    for name, picture in entry.pictures.items():
        if picture not in read:
            read[picture] = _image(picture)
        image = read[picture]
        if isinstance(image, Fail):
            return image
        images[name] = image
    if normalise:
        return _normalised(entry.sample, images, reading, fit)
    return _as_they_are(entry.sample, images, reading, fit)


def _image(picture: Picture) -> Image | Fail:
    if isinstance(picture, Image):
        return picture
    try:
        return Image(read_file(picture), picture.name)
    except ImageError as error:
        return Fail(error.code, _PERMANENT, str(error))
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        return Fail("unreadable", _PERMANENT if gone else FailureClass.TRANSIENT, str(error))


def _as_they_are(
    sample: EditSample, images: Mapping[str, Image], reading: MaskReading, fit: Fit
) -> Outcome:
    made: dict[str, Image] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for name, image in images.items():
        try:
            if name == "mask":
                made[name], mask = settled(image, images["source"], reading)
                sizes[name] = mask.shape[0], mask.shape[1]
                if sizes[name] != sizes["source"] and fits(sizes[name], sizes["source"], fit):
                    made[name] = Image(encode_png(fitted(mask, sizes["source"], fit)), image.path)
            elif name.startswith(REFERENCE):
                made[name] = image
            else:
                made[name], sizes[name] = image, picture_size(image.bytes)
                if sizes[name] != sizes["source"]:
                    made[name], _ = _fitted(image, sizes["source"], fit)
        except ImageError as error:
            return Fail(error.code, _PERMANENT, f"{name}: {error}")
    noted = _sized(sample, sizes, fit)
    return noted if isinstance(noted, Fail) else Keep((_filled(noted, made),))


def _normalised(
    sample: EditSample, images: Mapping[str, Image], reading: MaskReading, fit: Fit
) -> Outcome:
    made: dict[str, Image] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for name, image in images.items():
        try:
            if name == "mask":
                made[name], sizes[name] = _fitted_mask(
                    image, images["source"], sizes["source"], reading, fit
                )
            elif name.startswith(REFERENCE):
                made[name], _ = _fitted(image, None, fit)
            else:
                made[name], sizes[name] = _fitted(image, sizes.get("source"), fit)
        except ImageError as error:
            return Fail(error.code, _PERMANENT, f"{name}: {error}")
    noted = _sized(sample, sizes, fit)
    if isinstance(noted, Fail):
        return noted
    if "mask" in images and reading == BY_CONTENT and is_see_through(images["mask"].bytes):
        noted = _noted(noted, MASK_READ_BY, TRANSPARENCY)
    return Keep((_filled(noted, made),))


def _sized(sample: EditSample, sizes: Mapping[str, tuple[int, int]], fit: Fit) -> EditSample | Fail:
    """Return the sample with a note of what was resized, or Fail for a picture that does not fit.

    `sizes` are the pictures' (height, width) before.
    """
    source = sizes["source"]
    if not all(fits(size, source, fit) for size in sizes.values()):
        return _other_sizes(sizes)
    resized = {name: list(size) for name, size in sizes.items() if size != source}
    sample = _noted(sample, "resized", resized)
    far = not all(is_near(size, source) for size in sizes.values())
    return _noted(sample, "fit", fit) if far else sample


def _fitted(
    image: Image, source: tuple[int, int] | None, fit: Fit
) -> tuple[Image, tuple[int, int]]:
    """Return the normalised picture, and its (height, width) before any resizing."""
    pixels = decode(image.bytes)
    height, width = size = pixels.shape[0], pixels.shape[1]
    if source is not None and source != size and fits(size, source, fit):
        pixels = fitted(pixels, source, fit)
    elif is_plain(image.bytes):
        return image, (height, width)
    return Image(encode_png(pixels), image.path), (height, width)


def _fitted_mask(
    image: Image, photo: Image, source: tuple[int, int], reading: MaskReading, fit: Fit
) -> tuple[Image, tuple[int, int]]:
    """Return the mask of 0 and 255 in the source's size, and its (height, width) before."""
    mask = decode_mask(image.bytes, reading=reading, photo=photo.bytes)
    size = mask.shape[0], mask.shape[1]
    if fits(size, source, fit):
        mask = fitted(mask, source, fit)
    return Image(encode_png(mask), image.path), size


def _filled(sample: EditSample, images: Mapping[str, Image]) -> EditSample:
    source, target, mask = (images.get(name) for name in ("source", "target", "mask"))
    assert source is not None
    references = tuple(image for name, image in images.items() if name.startswith(REFERENCE))
    return replace(sample, source=source, target=target, mask=mask, references=references)


def _noted(sample: EditSample, name: str, value: Json) -> EditSample:
    """Return the sample with a value added to its provenance's parameters, unless it is empty."""
    made = sample.provenance
    if not value or made is None:
        return sample
    made = replace(made, parameters={**made.parameters, name: value})
    return replace(sample, provenance=made)


def _other_sizes(sizes: Mapping[str, tuple[int, int]]) -> Fail:
    listed = ", ".join(f"{name} {width} x {height}" for name, (height, width) in sizes.items())
    most = max(difference(size, sizes["source"]) for size in sizes.values())
    return Fail(
        "other-size",
        _PERMANENT,
        f"pictures of one edit differ in size: {listed} (aspect ratios by {most:.1%}; fix: import "
        "with --fit resize, crop or pad)",
    )
