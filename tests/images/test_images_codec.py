import hashlib
import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image as Pillow

from editloop.errors import ImageError
from editloop.images import codec
from editloop.images.codec import (
    content_hash,
    decode,
    decode_bare,
    decode_mask,
    encode_jpeg,
    encode_png,
    resize,
    unlike_bare,
)
from editloop.schema import Mask, Pixels
from editloop.sources.scenes import photo
from odd_images import odd_images, saved, smooth


def by_pillow(data: bytes) -> Pixels:
    with Pillow.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def cat() -> Pixels:
    return photo("chelsea")[100:231, 50:213]  # odd sides: JPEG blocks are cut at the edges


PLAIN = {
    "jpeg 4:2:0": lambda: saved(cat(), "JPEG", quality=90, subsampling=2),
    "jpeg 4:2:2": lambda: saved(cat(), "JPEG", quality=60, subsampling=1),
    "jpeg 4:4:4": lambda: saved(cat(), "JPEG", quality=100, subsampling=0),
    "jpeg progressive": lambda: saved(cat(), "JPEG", subsampling=2, progressive=True),
    "jpeg optimised": lambda: saved(cat(), "JPEG", optimize=True, dpi=(72, 72)),
    "jpeg grey": lambda: saved(cat()[..., 0], "JPEG"),
    "jpeg with restarts": lambda: saved(cat(), "JPEG", restart_marker_rows=1),
    "jpeg of OpenCV": lambda: encode_jpeg(cat(), 80),
    "png": lambda: saved(cat(), "PNG"),
    "png grey": lambda: saved(cat()[..., 0], "PNG", dpi=(72, 72)),
    "png of OpenCV": lambda: encode_png(cat()),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_pictures_come_out_the_same_without_pillow(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = PLAIN[name]()
    expected = by_pillow(data)
    monkeypatch.setattr(codec, "read_with_pillow", None)
    assert np.array_equal(decode(data), expected)


def test_decoded_pixels_may_be_written_to() -> None:
    for kind in ("PNG", "GIF"):
        decode(saved(smooth(), kind))[:] = 0


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_limit_counts_pixels(kind: str) -> None:
    data = saved(smooth(), kind)
    assert decode(data, max_pixels=16 * 24).shape == (16, 24, 3)
    with pytest.raises(ImageError, match="24 x 16") as caught:
        decode(data, max_pixels=16 * 24 - 1)
    assert caught.value.code == "too-large"


def test_threads_may_decode_at_once() -> None:
    data = saved(smooth(), "GIF")
    filters = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(decode, [data] * 60))
    assert all(np.array_equal(pixels, made[0]) for pixels in made)
    assert warnings.filters == filters


def stripes() -> Mask:
    mask = np.zeros((16, 24), np.uint8)
    mask[4:9, 3:20] = 255
    return mask


MASKS = {
    "grey": lambda: encode_png(stripes()),
    "1 bit": lambda: saved(Pillow.fromarray(stripes() > 0), "PNG"),
    "zeros and ones": lambda: encode_png(stripes() // 255),
    "colour": lambda: encode_png(np.repeat(stripes()[..., None], 3, -1)),
    "16 bit": lambda: saved(stripes().astype(np.uint16) * 257, "PNG"),
    "JPEG": lambda: encode_jpeg(stripes(), 90),
    "clear where editing is allowed": lambda: saved(
        np.dstack([smooth(), 255 - stripes()]), "PNG"
    ),
    "opaque": lambda: saved(
        np.dstack([*[stripes()] * 3, np.full_like(stripes(), 255)]), "PNG"
    ),
    "CMYK": lambda: saved(
        Pillow.fromarray(np.repeat(stripes()[..., None], 3, -1)).convert("CMYK"), "TIFF"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
def test_masks_of_any_form_are_white_where_editing_is_allowed(name: str) -> None:
    assert np.array_equal(decode_mask(MASKS[name]()), stripes())


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (1, 4)])
def test_masks_of_one_row_or_column(shape: tuple[int, int]) -> None:
    mask = np.full(shape, 255, np.uint8)
    assert np.array_equal(decode_mask(encode_png(mask)), mask)
    assert np.array_equal(resize(mask, 3, 3), np.full((3, 3), 255))


def test_a_black_mask_stays_black() -> None:
    assert not decode_mask(encode_png(np.zeros((3, 4), np.uint8))).any()


def test_a_mask_is_turned_as_its_picture() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    data = saved(np.ascontiguousarray(np.rot90(stripes())), "PNG", exif=exif)
    assert np.array_equal(decode_mask(data), stripes())


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (64, 64, 3), (9, 8)])
def test_png_is_lossless(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    data = encode_png(pixels)
    expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, -1)
    assert np.array_equal(decode(data), expected)
    assert data == encode_png(pixels.copy())


def test_png_takes_a_view() -> None:
    assert np.array_equal(decode(encode_png(cat()[:, ::-1])), cat()[:, ::-1])


def test_jpeg_loses_more_at_lower_quality() -> None:
    small, large = encode_jpeg(cat(), 20), encode_jpeg(cat(), 95)
    assert len(small) < len(large)
    error = [np.abs(decode(data).astype(int) - cat()).mean() for data in (large, small)]
    assert error[0] < error[1] < 10


def test_shrinking_averages() -> None:
    checks = (np.indices((32, 32)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = np.repeat(checks[..., None], 3, -1)
    assert np.abs(resize(pixels, 8, 8).astype(int) - 128).max() <= 1


def test_enlarging_keeps_a_slope() -> None:
    slope = np.repeat(np.linspace(50, 200, 16)[None, :, None], 16, 0).repeat(3, -1)
    large = resize(slope.astype(np.uint8), 64, 64)
    assert (np.diff(large[32, 8:-8, 0].astype(int)) >= 0).all()
    assert abs(float(large.mean()) - 125) < 2


@pytest.mark.parametrize(("height", "width"), [(5, 40), (40, 5), (16, 24), (1, 1)])
def test_resizing_gives_the_size_asked_for(height: int, width: int) -> None:
    assert resize(smooth(), height, width).shape == (height, width, 3)
    assert resize(smooth()[..., :1], height, width).shape == (height, width, 1)


def test_resizing_to_its_own_size_changes_nothing() -> None:
    made = resize(smooth(), 16, 24)
    assert np.array_equal(made, smooth())


@pytest.mark.parametrize(("height", "width"), [(7, 11), (50, 70)])
def test_a_resized_mask_is_a_mask(height: int, width: int) -> None:
    mask = resize(stripes(), height, width)
    assert set(np.unique(mask)) == {0, 255}
    assert abs(mask.mean() - stripes().mean()) < 10


def test_a_resized_field_of_floats_stays_smooth() -> None:
    field = resize(stripes().astype(np.float32) / 255, 50, 70)
    assert field.dtype == np.float32
    assert len(np.unique(field)) > 2


def test_a_hash_is_sha256_in_hex() -> None:
    assert content_hash(b"abc") == hashlib.sha256(b"abc").hexdigest()


UNLIKE = {
    "EXIF 6 JPEG": "EXIF orientation 6",
    "RGBA": "transparency",
    "16 bit grey PNG": "16 bit grey",
    "profile in which red is green": "a colour profile",
    "profile sRGB": "",
    "two frames GIF": "",
    "16 bit colour": "",
}


@pytest.mark.parametrize(("name", "why"), UNLIKE.items())
def test_the_bare_reading_is_pillows_and_differs_for_a_reason(name: str, why: str) -> None:
    data = odd_images()[name].data
    assert np.array_equal(decode_bare(data), by_pillow(data))
    assert np.array_equal(decode(data), by_pillow(data)) == (why == "")
    assert unlike_bare(data) == why
