"""Bytes to pixels and back: every decision about a picture's pixels is made here, once, at ingest.

`decode` answers with 8 bit sRGB, upright (EXIF orientation is baked in), without alpha (composited
on white), the first frame of several, embedded colour profiles converted. What cannot be read is
refused with an `ImageError` under one of these codes (`CODES`):

    empty           there are no bytes
    not-an-image    the bytes are no picture (a web page, text, noise)
    unsupported     a picture of a kind that is not read (SVG, HEIC, 32 bits a channel, ...)
    truncated       the picture ends before it is whole
    broken          the picture's structure or data is damaged
    too-large       it has more pixels than the limit
    metadata-bomb   its compressed metadata would unpack to megabytes

Metadata that is merely odd (an unreadable EXIF block, a colour profile that is damaged or made for
other channels) is treated as if it were absent, as browsers do. A picture is refused by its
size before it is unpacked; decoding takes at most 24 bytes of memory a pixel.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, ImageCms, UnidentifiedImageError
from PIL import Image as Pillow

from editloop.errors import ImageError
from editloop.schema import Mask, Pixels

__all__ = [
    "CODES",
    "MAX_PIXELS",
    "content_hash",
    "decode",
    "decode_mask",
    "encode_jpeg",
    "encode_png",
    "resize",
]

CODES = frozenset(
    {
        "broken",
        "empty",
        "metadata-bomb",
        "not-an-image",
        "too-large",
        "truncated",
        "unsupported",
    }
)

MAX_PIXELS = 64_000_000  # a 64 megapixel photo; 192 MB as RGB

# What Pillow may open: no interpreters (EPS), no formats without a signature (TGA).
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_READ = (_PNG, _JPEG, b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM", b"\0\0\0\x0cjP  ")
_KNOWN_UNREAD = {
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"8BPS": "Photoshop",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
}

# Chunks that ask for no decision about pixels, and JPEG segments likewise (JFIF, tables, comment).
_PLAIN_CHUNKS = frozenset({b"IHDR", b"IDAT", b"IEND", b"pHYs", b"sRGB", b"tIME"})
_PLAIN_SEGMENTS = frozenset({0xE0, 0xDB, 0xC4, 0xDD, 0xFE})
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive Huffman

_TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}

_WARNINGS = threading.Lock()  # warning filters belong to the whole process

_Array = TypeVar("_Array", bound=NDArray[Any])


def decode(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The picture in `data`, normalised: [height, width, 3], 8 bit sRGB.

    Plain 8 bit JPEG and PNG go through OpenCV, which gives the same pixels faster.
    """
    size = _plain_size(data)
    if size is not None:
        _check_size(*size, max_pixels)
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if pixels is not None and pixels.shape[:2] == size:
            rgb: Pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
            return rgb
    return _with_pillow(data, max_pixels, _rgb)


def decode_mask(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Mask:
    """The mask in `data`: [height, width], 255 where editing is allowed, otherwise 0.

    A mask with transparent parts allows editing there (MagicBrush's form); any other mask allows it
    where it is light. Masks that hold only 0 and 1 count 1 as light.
    """
    grey = _with_pillow(data, max_pixels, _allowed)
    light = 1 if grey.max() == 1 else 128
    mask: Mask = cv2.compare(grey, light, cv2.CMP_GE)
    return mask


def encode_png(pixels: Pixels | Mask) -> bytes:
    """The pixels as PNG, lossless; equal pixels give equal bytes.

    One filter and the fastest compression: 2% larger than the default and 1.5 times as fast.
    """
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    return _encode(".png", pixels, options)


def encode_jpeg(pixels: Pixels | Mask, quality: int) -> bytes:
    """The pixels as JPEG of a quality in [1, 100], colour at half resolution."""
    return _encode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


def resize(pixels: _Array, height: int, width: int) -> _Array:
    """The picture at another size: averaged where it shrinks, cubic where it grows.

    Takes [h, w] or [h, w, channels] of uint8, uint16 or float. An 8 bit [h, w] is a mask and stays
    one: only 0 and 255 come out.
    """
    down = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    made = cv2.resize(pixels, down[::-1], interpolation=cv2.INTER_AREA)
    if down != (height, width):
        made = cv2.resize(made, (width, height), interpolation=cv2.INTER_CUBIC)
    if pixels.ndim == 2 and pixels.dtype == np.uint8:
        made = cv2.compare(made, 128, cv2.CMP_GE)
    shaped: _Array = made.reshape(height, width, *pixels.shape[2:])  # OpenCV drops single channels
    return shaped


def content_hash(data: bytes) -> str:
    """The SHA-256 of the bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def _encode(suffix: str, pixels: Pixels | Mask, options: list[int]) -> bytes:
    stored = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    made, data = cv2.imencode(suffix, stored, options)
    assert made
    return data.tobytes()


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels:
        raise ImageError(
            "too-large",
            f"the picture has more than {max_pixels} pixels",
            value=f"{width} x {height}",
            fix="make it smaller",
        )


def _plain_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) of a JPEG or PNG that is whole and asks for no decision, else None."""
    if data.startswith(_PNG):
        return _plain_png(data)
    if data.startswith(_JPEG):
        return _plain_jpeg(data)
    return None


def _plain_png(data: bytes) -> tuple[int, int] | None:
    at = len(_PNG)
    while at + 12 <= len(data):
        kind = data[at + 4 : at + 8]
        if kind not in _PLAIN_CHUNKS:
            return None
        if kind == b"IEND":
            break
        at += 12 + int.from_bytes(data[at : at + 4])
    else:
        return None  # it ends before its end chunk
    depth, colour, interlaced = data[24], data[25], data[28]
    if data[12:16] != b"IHDR" or depth != 8 or colour not in (0, 2) or interlaced:
        return None
    return int.from_bytes(data[20:24]), int.from_bytes(data[16:20])


def _plain_jpeg(data: bytes) -> tuple[int, int] | None:
    size, at = None, 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:  # the scan: no more headers
            return size if data.endswith(b"\xff\xd9") else None
        if marker in _JPEG_FRAMES:
            depth, channels = data[at + 4], data[at + 9]
            if depth != 8 or channels not in (1, 3):
                return None
            size = int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        elif marker not in _PLAIN_SEGMENTS:
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _with_pillow(
    data: bytes, max_pixels: int, convert: Callable[[Pillow.Image], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Load any format, upright, and convert it; whatever goes wrong becomes an ImageError."""
    _refuse_unread(data)
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is decided here
        try:
            with Pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_size(image.height, image.width, max_pixels)
                image.load()
                return convert(_upright(_eight_bit(image)))
        except (ImageError, MemoryError):
            raise
        except Exception as error:
            raise _explain(error, data) from error


def _refuse_unread(data: bytes) -> None:
    if not data:
        raise ImageError("empty", "the file has no bytes", fix="fetch it again")
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kind = next((name for magic, name in _KNOWN_UNREAD.items() if data.startswith(magic)), None)
    if head.startswith((b"<?xml", b"<!--", b"<svg", b"<!doctype svg")) and b"<svg" in head:
        kind = "SVG"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis"):
        kind = "HEIC"
    if kind is not None:
        raise ImageError(
            "unsupported", "this kind of picture is not read", value=kind, fix="convert it to PNG"
        )


def _explain(error: Exception, data: bytes) -> ImageError:
    """The ImageError for what Pillow raised."""
    text = str(error)
    if isinstance(error, Pillow.DecompressionBombError):
        return ImageError("too-large", "the picture has too many pixels", fix="make it smaller")
    if "MAX_TEXT" in text:
        return ImageError("metadata-bomb", "its metadata unpacks to megabytes", fix="strip it")
    if isinstance(error, UnidentifiedImageError) and not _is_known(data):
        fix = "remove it, or fetch the picture again"
        return ImageError("not-an-image", "the bytes are no picture", value=data[:16], fix=fix)
    if "truncated" in text.lower() or isinstance(error, EOFError) or _ends_early(data):
        return ImageError("truncated", "the picture ends before it is whole", fix="fetch it again")
    detail = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else text
    return ImageError("broken", "the picture is damaged", value=detail[:200], fix="fetch it again")


def _is_known(data: bytes) -> bool:
    return data.startswith(_READ) or data[4:12] in (b"ftypavif", b"ftypavis")


def _ends_early(data: bytes) -> bool:
    """Whether a picture lacks the end that its format prescribes."""
    if data.startswith(_PNG):
        return b"IEND" not in data
    if data.startswith(_JPEG):
        return b"\xff\xd9" not in data
    return data.startswith(b"RIFF") and len(data) < 8 + int.from_bytes(data[4:8], "little")


def _eight_bit(image: Pillow.Image) -> Pillow.Image:
    """16 bit grey as 8 bit: the high byte, which is how Pillow reads 16 bit colour."""
    if not image.mode.startswith("I;16"):
        return image
    values = np.asarray(image)
    made = Pillow.fromarray((values >> 8).astype(np.uint8))
    made.info = {key: value for key, value in image.info.items() if key != "transparency"}
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        made.putalpha(Pillow.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return made


def _upright(image: Pillow.Image) -> Pillow.Image:
    """The picture turned as its EXIF orientation says; an unreadable one says nothing."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF parsing fails in as many ways as there are broken blocks
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Pillow.Image) -> Pixels:
    """An 8 bit picture of any mode as sRGB on white."""
    alpha, image = _alpha(image)
    colour = _srgb(image)
    if alpha is not None:
        canvas = Pillow.new("RGB", colour.size, "white")
        canvas.paste(colour, mask=alpha)
        colour = canvas
    return np.array(colour)


def _allowed(image: Pillow.Image) -> NDArray[np.uint8]:
    """A mask picture as grey levels, high where editing is allowed."""
    alpha, image = _alpha(image)
    if alpha is not None and alpha.getextrema() != (255, 255):
        return 255 - np.asarray(alpha)
    return np.array(image.convert("RGB" if image.mode == "CMYK" else "L").convert("L"))


def _alpha(image: Pillow.Image) -> tuple[Pillow.Image | None, Pillow.Image]:
    """The alpha channel if there is one, and the colour as L, CMYK or RGB."""
    if image.mode in ("I", "F", "LAB"):
        raise ImageError(
            "unsupported",
            "pixels of this kind have no fixed meaning",
            value=f"mode {image.mode}",
            fix="convert it to 8 or 16 bits a channel",
        )
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
    """An L, CMYK or RGB picture in sRGB, by its embedded colour profile if that fits."""
    profile = image.info.get("icc_profile")
    transform = _to_srgb(profile, image.mode) if profile else None
    return image.convert("RGB") if transform is None else transform.apply(image)


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile to sRGB; None if it is unusable or changes nothing.

    A profile that is sRGB itself would only add rounding: colours over the whole cube that move by
    at most one level count as unchanged.
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
