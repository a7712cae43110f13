"""Golden tests: every measure against a simple computation with NumPy or scikit-image."""

import math

import numpy as np
import pytest
from PIL import Image

from editloop.errors import RecipeError
from editloop.metrics.pixels import (
    PIXEL_METRICS,
    PSNR_CAP,
    VERSION,
    PixelMetric,
    measure_many,
    measure_pixels,
)
from editloop.registry import parse_spec
from editloop.runtime.seeding import generator
from editloop.schema import Cause, EditedPair, Mask, Pixels, Score, Unscored


def pictures(height: int = 48, width: int = 40) -> tuple[Pixels, Pixels, Mask]:
    rng = generator("pixels", height, width)
    ramp = np.linspace(0, 200, width)[None, :, None] * np.ones((height, 1, 3))
    target = (ramp + rng.normal(20, 12, ramp.shape)).clip(0, 255).astype(np.uint8)
    edited = (target + rng.normal(6, 25, ramp.shape)).clip(0, 255).astype(np.uint8)
    mask = np.zeros((height, width), np.uint8)
    mask[6 : height // 2, 8 : width - 9] = 255
    return edited, target, mask


def pair(edited: Pixels, target: Pixels | None, mask: Mask | None = None) -> EditedPair:
    return EditedPair("a", edited, "make it so", edited, target, mask)


def value(score: Score | Unscored) -> float:
    assert isinstance(score, Score), score
    return score.value


def expected(edited: Pixels, target: Pixels, region: np.ndarray) -> dict[str, float]:
    """Compute the measures by definition, in float64 over the chosen pixels."""
    a, b = edited[region].astype(float) / 255, target[region].astype(float) / 255
    mse = np.mean((a - b) ** 2)
    return {"l1": np.mean(np.abs(a - b)), "l2": mse, "psnr": 10 * math.log10(1 / mse)}


@pytest.mark.parametrize("place", ["", "_inside", "_outside"])
@pytest.mark.parametrize("measure", ["l1", "l2", "psnr"])
def test_differences_agree_with_numpy_in_every_region(measure: str, place: str) -> None:
    edited, target, mask = pictures()
    region = {"": mask >= 0, "_inside": mask == 255, "_outside": mask == 0}[place]
    made = measure_pixels(pair(edited, target, mask))[measure + place]
    assert value(made) == pytest.approx(expected(edited, target, region)[measure], abs=1e-6)


def reference_ssim(edited: Pixels, target: Pixels) -> tuple[float, np.ndarray]:
    from skimage.metrics import structural_similarity

    mean, full = structural_similarity(
        edited / 255.0,
        target / 255.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    return float(mean), full.mean(axis=2)


@pytest.mark.parametrize("size", [(48, 40), (11, 11), (129, 67)])
def test_ssim_agrees_with_scikit_image(size: tuple[int, int]) -> None:
    edited, target, _ = pictures(*size)
    made = measure_pixels(pair(edited, target))["ssim"]
    assert value(made) == pytest.approx(reference_ssim(edited, target)[0], abs=1e-5)


@pytest.mark.parametrize("size", [(7, 7), (40, 53)])
def test_ssim7_is_ultra_edits_which_is_scikit_images_default(size: tuple[int, int]) -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(3)
    edited, target = (rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(2))
    edited = (edited // 4 + target // 2).astype(np.uint8)
    one, other = (each.astype(np.float64) / 255 for each in (edited, target))
    expected = np.mean(
        [structural_similarity(one[..., at], other[..., at], data_range=1.0) for at in range(3)]
    )
    made = measure_pixels(pair(edited, target), ("ssim7", "ssim"))
    assert value(made["ssim7"]) == pytest.approx(expected, abs=1e-5)
    if min(size) > 11:
        assert abs(value(made["ssim"]) - expected) > 1e-3


def test_ssim7_needs_a_picture_of_its_window() -> None:
    small = np.zeros((6, 9, 3), np.uint8)
    made = measure_pixels(pair(small, small), ("ssim7",))["ssim7"]
    assert "7 px window" in made.reason


def test_ssim_of_a_flat_bright_picture_keeps_its_precision() -> None:
    flat = np.full((64, 64, 3), 250, np.uint8)
    near = flat.copy()
    near[::2, ::2] = 251
    made = measure_pixels(pair(near, flat))["ssim"]
    assert value(made) == pytest.approx(reference_ssim(near, flat)[0], abs=1e-5)


@pytest.mark.parametrize(("place", "colour"), [("_inside", 255), ("_outside", 0)])
def test_ssim_of_a_region_is_the_mean_of_scikit_images_map(place: str, colour: int) -> None:
    edited, target, mask = pictures()
    inner = (slice(5, -5), slice(5, -5))
    wanted = reference_ssim(edited, target)[1][inner][mask[inner] == colour].mean()
    made = measure_pixels(pair(edited, target, mask))["ssim" + place]
    assert value(made) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("mask", [None, np.full((48, 40), 255)])
def test_a_mask_that_limits_nothing_means_everywhere(mask: Mask | None) -> None:
    edited, target, _ = pictures()
    made = measure_pixels(pair(edited, target, mask))
    for measure in ("l1", "l2", "psnr", "ssim"):
        assert made[f"{measure}_inside"] == made[measure]
        assert made[f"{measure}_outside"] == Unscored(
            "the mask covers everything: nothing lies outside it", VERSION, Cause.NOT_MEASURABLE
        )


def test_a_black_mask_leaves_nothing_inside() -> None:
    edited, target, _ = pictures()
    made = measure_pixels(pair(edited, target, np.zeros((48, 40), np.uint8)))
    for measure in ("l1", "l2", "psnr", "ssim"):
        assert made[f"{measure}_outside"] == made[measure]
        assert made[f"{measure}_inside"] == Unscored(
            "the mask is all black: nothing lies inside it", VERSION, Cause.NOT_MEASURABLE
        )


def test_identical_pictures_count_as_the_documented_cap() -> None:
    edited, _, mask = pictures()
    made = measure_pixels(pair(edited, edited, mask))
    assert {value(made["psnr" + place]) for place in ("", "_inside", "_outside")} == {PSNR_CAP}
    assert value(made["l1"]) == 0
    assert value(made["ssim"]) == pytest.approx(1, abs=1e-6)


def test_opposite_pictures_reach_the_ends_of_the_ranges() -> None:
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    made = measure_pixels(pair(black, white))
    assert (value(made["l1"]), value(made["l2"]), value(made["psnr"])) == (1, 1, 0)


def test_a_case_without_target_is_unscored() -> None:
    edited, _, mask = pictures()
    made = measure_pixels(pair(edited, None, mask))
    assert set(made) == set(PIXEL_METRICS)
    assert set(made.values()) == {Unscored("the case has no target", VERSION, Cause.MISSING_INPUT)}


def test_a_picture_smaller_than_the_window_has_no_ssim_but_has_l1() -> None:
    edited, target, _ = pictures(10, 40)
    made = measure_pixels(pair(edited, target))
    assert made["ssim"] == Unscored(
        "a side is shorter than the 11 px window of SSIM", VERSION, Cause.NOT_MEASURABLE
    )
    assert isinstance(made["l1"], Score)


def test_a_region_at_the_border_has_no_ssim_but_has_l1() -> None:
    edited, target, _ = pictures()
    mask = np.zeros(edited.shape[:2], np.uint8)
    mask[:4] = 255
    made = measure_pixels(pair(edited, target, mask))
    assert isinstance(made["ssim_inside"], Unscored)
    assert "border" in made["ssim_inside"].reason
    assert isinstance(made["l1_inside"], Score)


def test_a_spec_names_one_measure() -> None:
    edited, target, mask = pictures()
    pairs = [pair(edited, target, mask), pair(target, target, mask)]
    metric = parse_spec("pixels:l1_inside", "metric").create("metric")
    assert isinstance(metric, PixelMetric)
    assert metric.name == "l1_inside"
    assert metric.needs == {"edited", "target", "mask"}
    assert metric.measure(pairs) == [measure_pixels(each)["l1_inside"] for each in pairs]


def test_an_unknown_measure_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="l1_inside"):
        parse_spec("pixels:l3", "metric").create("metric")


def test_a_picture_can_be_compared_with_its_source() -> None:
    edited, source, _ = pictures()
    shown = EditedPair("a", source, "make it so", edited)
    wanted = expected(edited, source, np.ones(source.shape[:2], bool))
    made = measure_pixels(shown, ("l1", "l2", "psnr"), against="source")
    assert {name: value(score) for name, score in made.items()} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("size", [(97, 80), (20, 31), (48, 41)])
def test_another_size_is_brought_to_the_references_by_pillows_default(
    size: tuple[int, int],
) -> None:
    edited, (_, target, _) = pictures(*size)[0], pictures()
    resized = np.asarray(Image.fromarray(edited).resize((40, 48)))
    shown = pair(edited, target)
    wanted = expected(resized, target, np.ones((48, 40), bool))
    made = measure_pixels(shown, ("l1", "l2", "psnr", "ssim"))
    assert value(made.pop("ssim")) == pytest.approx(reference_ssim(resized, target)[0], abs=1e-5)
    assert {name: value(score) for name, score in made.items()} == pytest.approx(wanted, abs=1e-6)


def test_a_mask_of_another_size_than_the_reference_is_unscored() -> None:
    edited, target, _ = pictures()
    made = measure_pixels(pair(edited, target, np.zeros((24, 20), np.uint8)))
    reason = "the mask has 20x24 px, and the picture 40x48 px"
    assert (
        made["l1_inside"] == made["ssim_outside"] == Unscored(reason, VERSION, Cause.NOT_MEASURABLE)
    )
    assert isinstance(made["l1"], Score)


@pytest.mark.parametrize(("place", "colour"), [("_inside", 255), ("_outside", 0)])
def test_pie_bench_counts_the_rest_as_black(place: str, colour: int) -> None:
    edited, target, mask = pictures()
    kept = (mask == colour)[:, :, None]
    wanted = expected(edited * kept, target * kept, np.ones(mask.shape, bool))
    names = [f"{measure}{place}" for measure in ("l1", "l2", "psnr", "ssim")]
    made = measure_pixels(pair(edited, target, mask), names, rest="black")
    similarity = reference_ssim(edited * kept, target * kept)[0]
    assert value(made.pop(f"ssim{place}")) == pytest.approx(similarity, abs=1e-5)
    found = {name.removesuffix(place): value(score) for name, score in made.items()}
    assert found == pytest.approx(wanted, abs=1e-6)


def test_metrics_of_any_settings_are_taken_together_in_order() -> None:
    edited, target, mask = pictures()
    shown = EditedPair("a", mask[:, :, None] + target // 2, "", edited, target, mask)
    specs = ["pixels:ssim", "pixels:l1?against=source", "pixels:l1", "pixels:l1_inside?rest=black"]
    metrics = [parse_spec(spec, "metric").create("metric") for spec in specs]
    together = measure_many(shown, metrics)
    assert together == [metric.measure([shown])[0] for metric in metrics]
    assert len({value(score) for score in together}) == 4


def test_a_metric_needs_only_the_picture_that_it_compares_with() -> None:
    source = parse_spec("pixels:l2?against=source&resize=bicubic", "metric").create("metric")
    assert source.needs == {"edited", "source"}
    inside = parse_spec("pixels:l2_inside", "metric").create("metric")
    assert inside.needs == {"edited", "target", "mask"}


def test_sums_of_a_large_picture_are_exact() -> None:
    black, white = np.zeros((3000, 3000, 3), np.uint8), np.full((3000, 3000, 3), 255, np.uint8)
    half = np.zeros((3000, 3000), np.uint8)
    half[:1500] = 255
    made = measure_pixels(pair(black, white, half), ("l1", "l2", "l1_inside", "l2_outside"))
    assert {value(score) for score in made.values()} == {1.0}
