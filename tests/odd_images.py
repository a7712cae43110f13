"""Every odd picture of the reliability tests, made here: its file's name, bytes, and what is due.

Due is either an error code or the pixels that it must become.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image as Pillow

import icc_profiles


@dataclass(frozen=True, eq=False)
class Odd:
    file: str
    data: bytes
    code: str | None = None
    pixels: NDArray[np.uint8] | None = None
    tolerance: int = 0


def smooth() -> NDArray[np.uint8]:
    """A picture without symmetry, smooth enough for JPEG: [16, 24, 3]."""
    rows, columns = np.mgrid[0:16, 0:24]
    return np.stack([columns * 10, rows * 15, 255 - 5 * (rows + columns)], -1).astype(np.uint8)


def saved(pixels: Any, kind: str, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Pillow.Image) else Pillow.fromarray(pixels)
    if kind == "JPEG":
        options = {"quality": 95, "subsampling": 0} | options
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of these chunks."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join([b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *chunks, chunk(b"IEND", b"")])


@cache
def odd_images() -> dict[str, Odd]:
    """By a speaking name."""
    makers = (_cut, _strangers, _bombs, _channels, _frames, _exif, _profiles, _shapes)
    return {name: odd for maker in makers for name, odd in maker()}


def _cut() -> Iterator[tuple[str, Odd]]:
    for kind, suffix in (
        *(("JPEG", "jpg"), ("PNG", "png"), ("GIF", "gif"), ("WEBP", "webp"), ("TIFF", "tif")),
        *(("BMP", "bmp"),),
    ):
        data = saved(smooth(), kind)
        yield f"truncated {kind}", Odd(f"cut.{suffix}", data[: len(data) * 2 // 3], "truncated")
    data = saved(smooth(), "PNG")
    yield "PNG cut in its header", Odd("head.png", data[:20], "truncated")
    yield "JPEG cut in its header", Odd("head.jpg", saved(smooth(), "JPEG")[:20], "truncated")
    yield "PNG without data", Odd("none.png", png(4, 4), "broken")
    for kind, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("GIF", "gif"), ("WEBP", "webp")):
        data = saved(smooth(), kind)
        yield f"{kind} and text", Odd(f"tail.{suffix}", data + b"<html>" * 9, "trailing-data")
        yield f"two {kind} joined", Odd(f"joined.{suffix}", data + data, "trailing-data")
        padded = Odd(f"padded.{suffix}", data + bytes(900), pixels=smooth(), tolerance=90)
        yield f"{kind} and padding", padded
    data = saved(smooth(), "PNG")
    damaged = bytearray(data)
    damaged[data.index(b"IDAT") + 20] ^= 0x55
    yield "PNG with a flipped byte", Odd("flipped.png", bytes(damaged), "broken")
    yield "GIF of a header", Odd("head.gif", saved(smooth(), "GIF")[:20], "broken")


def _strangers() -> Iterator[tuple[str, Odd]]:
    page = b"<!DOCTYPE html>\n<html><body><svg></svg>404 Not Found</body></html>"
    svg = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield "zero bytes", Odd("zero.jpg", b"", "empty")
    yield "HTML", Odd("page.jpg", page, "not-an-image")
    yield "noise", Odd("noise.png", np.random.default_rng(0).bytes(500), "not-an-image")
    yield "SVG", Odd("drawing.svg", svg, "unsupported")
    yield "SVG named PNG", Odd("drawing.png", b"\xef\xbb\xbf<svg></svg>", "unsupported")
    yield "HEIC", Odd("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported")
    yield "PDF", Odd("paper.jpg", b"%PDF-1.7\n", "unsupported")
    yield "PNG named JPEG", Odd("wrong.jpg", saved(smooth(), "PNG"), pixels=smooth())
    yield "JPEG named PNG", Odd("wrong.png", saved(smooth(), "JPEG"), pixels=smooth(), tolerance=9)
    for brand in (b"mif1", b"msf1", b"hevx", b"isom"):
        phone = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic"
        yield f"ISO media {brand.decode()}", Odd("phone.jpg", phone, "unsupported")


def _bombs() -> Iterator[tuple[str, Odd]]:
    rows = zlib.compress(bytes(9_000 * (1 + 9_000 // 8)))
    real = png(9_000, 9_000, chunk(b"IDAT", rows), depth=1, colour=0)
    yield "pixel bomb", Odd("bomb.png", real, "too-large")
    longest = saved(np.zeros((1, 70_000), np.uint8), "PNG")
    yield "1x70000", Odd("line.png", longest, "too-large")
    claim = png(60_000, 60_000, chunk(b"IDAT", b""))
    yield "pixel bomb by its header", Odd("claim.png", claim, "too-large")
    data = chunk(b"IDAT", zlib.compress(b"\0\1\2\3"))
    unpacked = zlib.compress(bytes(20_000_000))
    text = chunk(b"zTXt", b"note\0\0" + unpacked)
    yield "text bomb", Odd("text.png", png(1, 1, text, data), "metadata-bomb")
    text = chunk(b"iTXt", b"note\0\1\0\0\0" + unpacked)
    yield "international text bomb", Odd("itext.png", png(1, 1, text, data), "metadata-bomb")
    yield "text bomb after the data", Odd("late.png", png(1, 1, data, text), "metadata-bomb")
    profile = chunk(b"iCCP", b"name\0\0" + unpacked)
    yield "profile bomb", Odd("icc.png", png(1, 1, profile, data), "metadata-bomb")
    many = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(1_000_000))) * 70
    yield "many texts", Odd("many.png", png(1, 1, many, data), "metadata-bomb")


def _channels() -> Iterator[tuple[str, Odd]]:
    picture = Pillow.fromarray(smooth())
    grey = smooth()[..., 0]
    greys = np.repeat(grey[..., None], 3, -1)
    for kind, suffix, tolerance in (("JPEG", "jpg", 9), ("TIFF", "tif", 1)):
        data = saved(picture.convert("CMYK"), kind)
        yield f"CMYK {kind}", Odd(f"cmyk.{suffix}", data, pixels=smooth(), tolerance=tolerance)
    for kind, suffix in (("PNG", "png"), ("TIFF", "tif")):
        data = saved(grey.astype(np.uint16) * 257, kind)
        yield f"16 bit grey {kind}", Odd(f"deep.{suffix}", data, pixels=greys)
    pgm = b"P5 24 16 65535\n" + (grey.astype(">u2") * 257).tobytes()
    yield "16 bit PGM", Odd("deep.pgm", pgm, pixels=greys)
    ink = saved((65_535 - grey.astype(np.uint16) * 257), "TIFF", tiffinfo={262: 0})
    yield "16 bit TIFF in which 0 is white", Odd("ink16.tif", ink, pixels=greys)
    apart = (smooth().astype(np.uint16) * 257).transpose(2, 0, 1)
    file = io.BytesIO()
    tifffile.imwrite(file, apart, photometric="rgb", planarconfig="separate")
    yield "16 bit channels apart", Odd("apart.tif", file.getvalue(), "unsupported")
    yield "16 bit colour", Odd("deeper.png", _deep_png(smooth()), pixels=smooth())
    yield "grey", Odd("grey.png", saved(grey, "PNG"), pixels=greys)
    bits = np.where(greys > 100, 255, 0).astype(np.uint8)
    yield "1 bit", Odd("bits.png", saved(Pillow.fromarray(grey > 100), "PNG"), pixels=bits)
    yield from _transparent(greys)
    floats = saved(grey.astype(np.float32), "TIFF")
    yield "32 bit float", Odd("floats.tif", floats, "unsupported")
    yield "32 bit integer", Odd("ints.tif", saved(grey.astype(np.int32), "TIFF"), "unsupported")


def _transparent(greys: NDArray[np.uint8]) -> Iterator[tuple[str, Odd]]:
    """Pictures whose left half is clear, and so white."""
    alpha = np.full((16, 24), 255, np.uint8)
    alpha[:, :12] = 0
    colour, grey = smooth(), greys.copy()
    colour[:, :12] = grey[:, :12] = 255
    yield "RGBA", Odd("a.png", saved(np.dstack([smooth(), alpha]), "PNG"), pixels=colour)
    yield "LA", Odd("la.png", saved(np.dstack([greys[..., 0], alpha]), "PNG"), pixels=grey)
    half = np.full((16, 24, 4), (0, 0, 0, 128), np.uint8)
    yield "half clear black", Odd("half.png", saved(half, "PNG"), pixels=half[..., :3] + 127)
    indices = Pillow.fromarray((alpha > 0).astype(np.uint8)).convert("P")
    indices.putpalette([9, 9, 9, 200, 0, 0])
    shown = np.where(alpha[..., None] > 0, (200, 0, 0), (255, 255, 255)).astype(np.uint8)
    for kind in ("PNG", "GIF"):
        data = saved(indices, kind, transparency=0)
        yield f"palette and alpha {kind}", Odd(f"palette.{kind.lower()}", data, pixels=shown)
    data = saved(indices, "PNG", transparency=b"\x80\xff")
    shown = np.where(alpha[..., None] > 0, (200, 0, 0), (132, 132, 132)).astype(np.uint8)
    yield "palette and half alpha", Odd("soft.png", data, pixels=shown, tolerance=1)
    deep = np.where(alpha > 0, 51_400, 257).astype(np.uint16)
    data = saved(deep, "PNG", transparency=257)
    shown = np.where(alpha[..., None] > 0, np.uint8(200), np.uint8(255)).repeat(3, -1)
    yield "16 bit grey and a clear level", Odd("deepa.png", data, pixels=shown)


def _deep_png(pixels: NDArray[np.uint8]) -> bytes:
    """The same picture with 16 bits a channel."""
    height, width, _ = pixels.shape
    rows = (pixels.astype(np.uint16) * 257).astype(">u2").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return png(width, height, chunk(b"IDAT", data), depth=16)


def _frames() -> Iterator[tuple[str, Odd]]:
    first, second = Pillow.new("RGB", (8, 8), "red"), Pillow.new("RGB", (8, 8), "blue")
    red = np.asarray(first)
    for kind, suffix, options in (
        ("GIF", "gif", {}),
        ("PNG", "png", {}),
        ("WEBP", "webp", {"lossless": True}),
        ("TIFF", "tif", {}),
    ):
        data = saved(first, kind, save_all=True, append_images=[second], **options)
        yield f"two frames {kind}", Odd(f"frames.{suffix}", data, pixels=red)


def _exif() -> Iterator[tuple[str, Odd]]:
    upright = smooth()
    stored = {
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright.swapaxes(0, 1), 2),
        8: np.rot90(upright, -1),
    }
    for turn, pixels in stored.items():
        exif = Pillow.Exif()
        exif[0x0112] = turn
        for kind, suffix, tolerance in (("PNG", "png", 0), ("JPEG", "jpg", 9), ("TIFF", "tif", 0)):
            data = saved(np.ascontiguousarray(pixels), kind, exif=exif)
            odd = Odd(f"exif{turn}.{suffix}", data, pixels=upright, tolerance=tolerance)
            yield f"EXIF {turn} {kind}", odd
    exif = Pillow.Exif()
    exif[0x0112] = 6
    turned = np.ascontiguousarray(stored[6])
    data = saved(turned[..., 0].astype(np.uint16) * 257, "PNG", exif=exif)
    greys = upright[..., :1].repeat(3, -1)
    yield "EXIF and 16 bits", Odd("turned.png", data, pixels=greys)
    data = saved(turned // 128 * 255, "PNG", exif=exif, icc_profile=icc_profiles.red_is_green())
    swapped = (upright // 128 * 255)[..., [1, 0, 2]]
    yield "EXIF and a profile", Odd("both.png", data, pixels=swapped, tolerance=3)
    for name, block in {
        "cut": b"Exif\0\0MM\0*\0\0\0\x08\0\xff",
        "noise": b"Exif\0\0" + bytes(range(200)),
        "orientation 99": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x63\0\0\0\0\0\0",
        "orientation in words": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\2\0\0\0\4up!\0\0\0\0\0",
    }.items():
        for kind, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")):
            data = saved(
                upright, kind, exif=block, **({"lossless": True} if kind == "WEBP" else {})
            )
            odd = Odd(f"{name}.{suffix}", data, pixels=upright, tolerance=9)
            yield f"broken EXIF, {name}, {kind}", odd


def _profiles() -> Iterator[tuple[str, Odd]]:
    colour = smooth()
    for name, profile in {
        "sRGB": icc_profiles.srgb(),
        "damaged": b"no profile at all",
        "cut": icc_profiles.srgb()[:300],
        "for other channels": icc_profiles.linear_grey(),
        "of LAB": icc_profiles.lab(),
    }.items():
        data = saved(colour, "PNG", icc_profile=profile)
        yield f"profile {name}", Odd(f"icc {name}.png", data, pixels=colour)
    pure = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    green = pure[..., [1, 0, 2]]
    data = saved(pure, "PNG", icc_profile=icc_profiles.red_is_green())
    yield "profile in which red is green", Odd("odd.png", data, pixels=green, tolerance=2)
    clear = np.dstack([pure, np.full((4, 4), 0, np.uint8)])
    clear[:2, :, 3] = 255
    data = saved(clear, "PNG", icc_profile=icc_profiles.red_is_green())
    shown = green.copy()
    shown[2:] = 255
    yield "profile and alpha", Odd("odda.png", data, pixels=shown, tolerance=2)
    grey = np.full((4, 4), 128, np.uint8)
    data = saved(grey, "PNG", icc_profile=icc_profiles.linear_grey())
    light = np.full((4, 4, 3), 188, np.uint8)
    yield "profile of linear grey", Odd("linear.png", data, pixels=light, tolerance=2)
    ink = saved(
        Pillow.new("CMYK", (4, 4), (255, 128, 0, 0)),
        "TIFF",
        icc_profile=icc_profiles.only_black_counts(),
    )
    paper = np.full((4, 4, 3), 255, np.uint8)
    yield "profile of CMYK", Odd("ink.tif", ink, pixels=paper, tolerance=2)


def _shapes() -> Iterator[tuple[str, Odd]]:
    for width, height in ((1, 1), (1, 20_000), (20_000, 1)):
        pixels = np.full((height, width, 3), (10, 200, 30), np.uint8)
        data = saved(pixels, "PNG")
        yield f"{width}x{height}", Odd(f"{width}x{height}.png", data, pixels=pixels)
