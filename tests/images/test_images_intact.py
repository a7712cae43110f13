"""Damaged JPEGs, and data after the end mark: faults; photos of phones and cameras: healthy."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow

from editloop.errors import ImageError
from editloop.images.codec import decode, decode_mask, encode_jpeg, is_plain
from editloop.images.intact import check_rows, end_of, read_jpeg
from editloop.schema import Pixels
from editloop.sources.scenes import photo
from odd_images import chunk, png, saved


def cat() -> Pixels:
    return photo("chelsea")[:200, :240]


def scan(data: bytes) -> int:
    """Where a JPEG's compressed data begin."""
    at = data.rindex(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4])


def holed(data: bytes) -> bytes:
    """Without a piece of its compressed data: grey from there on, and the end mark in place."""
    at = scan(data)
    return data[: at + 500] + data[at + 2500 :]


def zeroed(data: bytes) -> bytes:
    at = scan(data) + 500
    return data[:at] + bytes(2000) + data[at + 2000 :]


def shortened(data: bytes) -> bytes:
    """As a broken download that a tool closed with an end mark."""
    return data[: len(data) // 2] + b"\xff\xd9"


def marked(data: bytes) -> bytes:
    """With an end mark in its midst."""
    at = scan(data) + 900
    return data[:at] + b"\xff\xd9" + data[at:]


DAMAGES = [holed, zeroed, shortened, marked]
KINDS = {
    "plain": {},
    "progressive": {"progressive": True},
    "with restarts": {"restart_marker_rows": 1},
    "turned": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"},
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_jpeg_is_never_taken_with_grey_holes(kind: str, damage) -> None:
    data = damage(saved(cat(), "JPEG", **KINDS[kind]))
    assert data.endswith(b"\xff\xd9")
    for read in (decode, decode_mask):
        with pytest.raises(ImageError) as caught:
            read(data)
        assert caught.value.code in ("broken", "truncated", "trailing-data")


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_damaged_jpeg_of_any_colours_is_refused(mode: str) -> None:
    data = saved(Pillow.fromarray(cat()).convert(mode), "JPEG")
    decode(data)
    with pytest.raises(ImageError, match="damaged"):
        decode(holed(data))


def test_a_refusal_has_the_decoders_words() -> None:
    with pytest.raises(ImageError) as caught:
        decode(holed(encode_jpeg(cat(), 90)))
    assert "Corrupt JPEG data" in str(caught.value.value)


def mpo() -> bytes:
    file = io.BytesIO()
    second = Pillow.fromarray(cat()[::-1])
    Pillow.fromarray(cat()).save(file, "MPO", save_all=True, append_images=[second], quality=95)
    return file.getvalue()


def with_segment(marker: int, content: bytes, tail: bytes) -> bytes:
    data = saved(cat(), "JPEG")
    segment = bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2) + content
    return data[:2] + segment + data[2:] + tail


def samsung() -> bytes:
    block = b"\0\0\x01\x0a\x0e\0\0\0Image_UTC_Data1700000000000"
    entry = b"\0\0\x01\x0a" + len(block).to_bytes(4, "little") * 2
    index = b"SEFH" + (101).to_bytes(4, "little") + (1).to_bytes(4, "little") + entry
    return saved(cat(), "JPEG") + block + index + len(index).to_bytes(4, "little") + b"SEFT"


XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><Container:Directory/></x:xmpmeta>"
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(400) + b"moov"
HEALTHY = {
    "two views (MPO)": mpo,
    "gain map (Ultra HDR)": lambda: with_segment(0xE1, XMP, saved(cat()[::2, ::2, 0], "JPEG")),
    "gain map by MPF": lambda: with_segment(0xE2, b"MPF\0II*\0", saved(cat()[..., 0], "JPEG")),
    "motion photo": lambda: saved(cat(), "JPEG") + VIDEO,
    "padded motion photo": lambda: saved(cat(), "JPEG") + bytes(64) + VIDEO,
    "Samsung's trailer": samsung,
    "Samsung's video": lambda: saved(cat(), "JPEG") + b"MotionPhoto_Data" + VIDEO + b"SEFT",
    "Canon's trailer": lambda: saved(cat(), "JPEG") + b"CANON OPTIONAL DATA\0" + bytes(99),
    "Huawei's trailer": lambda: saved(cat(), "JPEG") + b"v2_f12    " + VIDEO + b"LIVE_0012345",
    "zeros": lambda: saved(cat(), "JPEG") + bytes(4096),
    "a line's end": lambda: saved(cat(), "JPEG") + b"\r\n",
}


@pytest.mark.parametrize("kind", HEALTHY)
def test_photos_of_phones_and_cameras_are_read(kind: str) -> None:
    data = HEALTHY[kind]()
    pixels = decode(data)
    assert pixels.shape == cat().shape
    assert np.abs(pixels.astype(int) - cat()).mean() < 4
    assert end_of(data) < len(data)
    assert not is_plain(data)  # an import stores it without what follows


def samsung_scan(data: bytes) -> bytes:
    """With the parameters in its scan that Samsung's phones write: all zero."""
    at = scan(data)
    return data[: at - 3] + bytes(3) + data[at:]


def test_scan_parameters_that_all_decoders_ignore_are_no_damage() -> None:
    data = encode_jpeg(cat(), 90)
    odd = samsung_scan(data)
    with pytest.raises(ImageError, match="damaged"):
        read_jpeg(samsung_scan(holed(data)), "RGB")
    assert np.array_equal(decode(odd), decode(data))


def rows_of(pixels: Pixels) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in pixels.reshape(len(pixels), -1))


@pytest.mark.parametrize("text", [b"", b"key\0value"])
def test_a_png_whose_rows_end_early_is_damaged(text: bytes) -> None:
    rows = rows_of(cat())
    chunks = [chunk(b"tEXt", text)] if text else []
    height, width = cat().shape[:2]

    def made(count: int) -> bytes:
        return png(width, height, *chunks, chunk(b"IDAT", zlib.compress(rows[:count])))

    assert np.array_equal(decode(made(len(rows))), cat())
    whole_rows = len(rows) // height * (height // 2)  # Pillow leaves the other half black
    for count in (whole_rows, whole_rows + 99, len(rows) - 1):
        with pytest.raises(ImageError, match=r"damaged|ends before"):
            decode(made(count))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 17), (64, 40)])
def test_the_rows_of_every_whole_png_are_found(mode: str, size: tuple[int, int]) -> None:
    data = saved(Pillow.new(mode, size), "PNG")
    check_rows(data)
    check_rows(saved(Pillow.new(mode, (2000, 900)), "PNG"))  # unpacks to more than its data


def test_an_interlaced_png_is_read() -> None:
    for height, width in ((1, 1), (7, 5), (16, 24)):
        grey = np.arange(height * width, dtype=np.uint16).astype(np.uint8).reshape(height, width)
        assert np.array_equal(decode(interlaced(grey))[..., 0], grey)


def interlaced(grey: np.ndarray) -> bytes:
    """A PNG in the seven passes of Adam7."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    parts = [grey[top::down, left::right] for left, top, right, down in [*passes, (0, 1, 1, 2)]]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", *grey.shape[::-1], 8, 0, 0, 0, 1)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content
