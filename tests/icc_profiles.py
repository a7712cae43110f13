"""Colour profiles made by hand, so that their effect on a picture is known."""

import struct

from PIL import ImageCms


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def lab() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def red_is_green() -> bytes:
    """SRGB with the primaries of red and green exchanged."""
    return srgb().replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def linear_grey() -> bytes:
    """Grey in which a level is proportional to light: 128 is level 188 in sRGB."""
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": white, b"kTRC": curve})


def only_black_counts() -> bytes:
    """CMYK in which cyan, magenta and yellow leave no mark: no black is white paper."""
    straight = bytes(range(256))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"".join(bytes([0 if at % 2 else 255, 128, 128]) for at in range(16))  # black is last
    lookup = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity
    lookup += straight * 4 + table + straight * 3
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": white, b"A2B0": lookup})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    at = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(content), len(data))
        content += padded
    header = struct.pack(
        ">I4sI4s4s4s", at + len(content), b"\0" * 4, 0x02400000, kind, space, connection
    )
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + content
