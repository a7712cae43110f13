"""Decoding of pictures of any format and mode through Pillow, to one normal form.

`codec.py` is the interface: it documents the error codes and decodes plain pictures directly. This
module does not know file names.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageCms, UnidentifiedImageError
from PIL import Image as Pillow

from editloop.errors import ImageError
from editloop.images.intact import JPEG, PNG, check_end, check_rows, read_jpeg
from editloop.schema import Pixels

__all__ = [
    "MAX_SIDE",
    "check_size",
    "deep_grey",
    "differences",
    "eight_bit",
    "orientation",
    "read_orientation",
    "read_with_pillow",
    "refuse_mode",
    "to_rgb",
    "turned",
]

MAX_SIDE = 65_500  # what every encoder supports

# Formats Pillow may open: no interpreters (EPS), no formats without a signature (TGA).
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

_READ = (PNG, JPEG, b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM", b"\0\0\0\x0cjP  ")
_KNOWN_UNREAD = {
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"8BPS": "Photoshop",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
}

_JPEG_COLOURS: dict[str, Literal["GRAY", "RGB", "CMYK"]] = {
    "L": "GRAY",
    "RGB": "RGB",
    "CMYK": "CMYK",
}

_WHITE_IS_ZERO = 0  # a TIFF's photometric interpretation
_APART = 2  # a TIFF's planar configuration

_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}

_Made = TypeVar("_Made")
_Level = TypeVar("_Level", bound=np.generic)

_WARNINGS = threading.Lock()  # warning filters belong to the whole process


def check_size(height: int, width: int, max_pixels: int) -> None:
    """Raise an ImageError if a picture of this size is too large to decode."""
    if height * width > max_pixels or max(height, width) > MAX_SIDE:
        raise ImageError(
            "too-large",
            f"the picture has more than {max_pixels} pixels, or a side of more than {MAX_SIDE}",
            value=f"{width} x {height}",
            fix="make it smaller",
        )


def read_with_pillow(
    data: bytes, max_pixels: int, convert: Callable[[Pillow.Image], _Made]
) -> _Made:
    """Decode any picture and convert it; raises ImageError on any failure but MemoryError."""
    _refuse_unread(data)
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the cases Pillow warns about are handled here
        try:
            with Pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
                check_size(image.height, image.width, max_pixels)
                _refuse_misread(image)
                loaded = _loaded(image, data)
                check_end(data)
                return convert(loaded)
        except (ImageError, MemoryError):
            raise
        except Exception as error:
            raise _explain(error, data) from error


def _refuse_misread(image: Pillow.Image) -> None:
    """Raise ImageError for what Pillow reads wrongly: uncompressed 16 bit channels apart."""
    tags = getattr(image, "tag_v2", {})
    apart = tags.get(ExifTags.Base.PlanarConfiguration) == _APART
    deep = max(tags.get(ExifTags.Base.BitsPerSample, (8,))) > 8
    if apart and deep and image.info.get("compression") == "raw":
        raise ImageError(
            "unsupported",
            "this kind of picture is not read",
            value="TIFF, 16 bit channels stored apart and uncompressed",
            fix="convert it to PNG",
        )


def _loaded(image: Pillow.Image, data: bytes) -> Pillow.Image:
    """Return the picture with its pixels; those of a JPEG come from a decoder that warns."""
    colours = _JPEG_COLOURS.get(image.mode) if data.startswith(JPEG) else None
    if colours is None:
        image.load()
        if data.startswith(PNG):
            check_rows(data)
        return image
    pixels = read_jpeg(data, colours)
    if colours == "CMYK":  # Pillow knows whether its levels are inverted
        image.load()
        return image
    made = Pillow.fromarray(pixels.squeeze(-1) if colours == "GRAY" else pixels)
    made.info = image.info
    return made


def _refuse_unread(data: bytes) -> None:
    if not data:
        raise ImageError("empty", "the file has no bytes", fix="fetch it again")
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kind = next((name for magic, name in _KNOWN_UNREAD.items() if data.startswith(magic)), None)
    if head.startswith((b"<?xml", b"<!--", b"<svg", b"<!doctype svg")) and b"<svg" in head:
        kind = "SVG"
    if data[4:8] == b"ftyp" and not _is_avif(data):
        kind = "HEIC, or a video"
    if kind is not None:
        raise ImageError(
            "unsupported", "this kind of picture is not read", value=kind, fix="convert it to PNG"
        )


def _explain(error: Exception, data: bytes) -> ImageError:
    """Return the ImageError for an exception from Pillow."""
    text = str(error)
    if isinstance(error, Pillow.DecompressionBombError):
        return ImageError("too-large", "the picture has too many pixels", fix="make it smaller")
    if "MAX_TEXT" in text:
        return ImageError("metadata-bomb", "its metadata unpacks to megabytes", fix="strip it")
    if isinstance(error, UnidentifiedImageError) and not _is_known(data):
        fix = "remove it, or fetch the picture again"
        return ImageError("not-an-image", "the bytes are not a picture", value=data[:16], fix=fix)
    if "truncated" in text.lower() or isinstance(error, EOFError) or _ends_early(data):
        return ImageError("truncated", "the picture ends before it is whole", fix="fetch it again")
    detail = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else text
    fix = "fetch it again, or convert it to PNG if other programs show it"
    return ImageError("broken", "the picture is damaged", value=detail[:200], fix=fix)


def _is_known(data: bytes) -> bool:
    return data.startswith(_READ) or _is_avif(data)


def _is_avif(data: bytes) -> bool:
    """Return whether the brands of an ISO media file name AVIF; HEIC and videos have others."""
    brands = data[8 : int.from_bytes(data[:4])]
    return data[4:8] == b"ftyp" and (b"avif" in brands or b"avis" in brands)


def _ends_early(data: bytes) -> bool:
    """Return whether a picture lacks the end marker of its format."""
    if data.startswith(PNG):
        return b"IEND" not in data
    if data.startswith(JPEG):
        return b"\xff\xd9" not in data
    return data.startswith(b"RIFF") and len(data) < 8 + int.from_bytes(data[4:8], "little")


def eight_bit(image: Pillow.Image) -> Pillow.Image:
    """Convert 16 bit grey to 8 bit by its high byte, as Pillow does for 16 bit colour."""
    values = deep_grey(image)
    if values is None:
        return image
    made = Pillow.fromarray((values >> 8).astype(np.uint8))
    made.info = {key: value for key, value in image.info.items() if key != "transparency"}
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        made.putalpha(Pillow.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return made


def _is_deep_grey(image: Pillow.Image) -> bool:
    """Return whether a picture is 16 bit grey; Pillow has 32 bits for that of PGM files."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def deep_grey(image: Pillow.Image) -> NDArray[np.uint16] | None:
    """Return the levels of 16 bit grey, 0 for black; None for any other picture."""
    if not _is_deep_grey(image):
        return None
    values = np.asarray(image).astype(np.uint16)
    return 65_535 - values if _is_inverted(image) else values


def _is_inverted(image: Pillow.Image) -> bool:
    """Return whether 0 is white in a TIFF's 16 bit grey, which Pillow honours only up to 8 bits."""
    meaning = getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation)
    return bool(meaning == _WHITE_IS_ZERO)


def orientation(image: Pillow.Image) -> int:
    """Return the EXIF orientation of a picture, 1 to 8; 1 if it is missing or unreadable."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF blocks raise many kinds of errors
        return 1
    return found if found in _TURNS else 1


def read_orientation(data: bytes) -> tuple[int, tuple[int, int]]:
    """Return a picture file's EXIF orientation, and its stored (height, width).

    Nothing is decoded. A file that cannot be opened counts as upright: its decoding reports it.
    """
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
                return orientation(image), (image.height, image.width)
        except Exception:
            return 1, (0, 0)


def _upright(image: Pillow.Image) -> Pillow.Image:
    """Apply the EXIF orientation of a picture; an unreadable one is ignored."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def differences(image: Pillow.Image) -> list[str]:
    """Return what in a picture `convert("RGB")` alone does not honour."""
    found = {
        f"EXIF orientation {orientation(image)}": orientation(image) != 1,
        "transparency": image.has_transparency_data,
        "16 bit grey": _is_deep_grey(image),
        "a colour profile": "icc_profile" in image.info,
    }
    return [name for name, present in found.items() if present]


def turned(levels: NDArray[_Level], orientation: int) -> NDArray[_Level]:
    """Return pixels [height, width, ...] upright, given the EXIF orientation of their file."""
    if orientation in (5, 6, 7, 8):
        levels = levels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        levels = levels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        levels = levels[::-1]
    return levels


def to_rgb(image: Pillow.Image) -> Pixels:
    """Convert a picture of any mode to 8 bit sRGB on white, with orientation applied."""
    alpha, image = _alpha(_upright(eight_bit(image)))
    colour = _srgb(image)
    if alpha is not None:
        canvas = Pillow.new("RGB", colour.size, "white")
        canvas.paste(colour, mask=alpha)
        colour = canvas
    return np.array(colour)


def refuse_mode(image: Pillow.Image) -> None:
    """Raise ImageError for a picture whose pixels have no fixed meaning."""
    if image.mode in ("I", "F", "LAB"):
        raise ImageError(
            "unsupported",
            "pixels of this kind have no fixed meaning",
            value=f"mode {image.mode}",
            fix="convert it to 8 or 16 bits a channel",
        )


def _alpha(image: Pillow.Image) -> tuple[Pillow.Image | None, Pillow.Image]:
    """Return the alpha channel, if any, and the colour as L, CMYK or RGB."""
    refuse_mode(image)
    profile = image.info.get("icc_profile")
    alpha = None
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("L" if grey else "RGB")
    elif image.mode != "CMYK":
        image = image.convert("L" if image.mode in ("1", "L") else "RGB")
    if profile is not None:
        image.info["icc_profile"] = profile
    return alpha, image


def _srgb(image: Pillow.Image) -> Pillow.Image:
    """Convert an L, CMYK or RGB picture to sRGB, by its embedded colour profile if usable."""
    profile = image.info.get("icc_profile")
    transform = _to_srgb(profile, image.mode) if profile else None
    return image.convert("RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from a profile to sRGB; None if it is unusable or changes nothing.

    A profile that is already sRGB would only add rounding errors, so a transform that moves no
    colour of a grid over the whole cube by more than one level counts as no change.
    """
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception:  # a damaged profile, or one for other channels
        return None
    if mode == "CMYK":
        return transform
    levels = np.linspace(0, 255, 17).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(-1, 17, 3)
    probe = Pillow.fromarray(cube).convert(mode)
    before, after = np.asarray(probe.convert("RGB"), int), np.asarray(transform.apply(probe), int)
    return None if np.abs(after - before).max() <= 1 else transform
