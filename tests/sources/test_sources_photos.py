from collections import Counter
from typing import Any

import numpy as np
import pytest

from editloop.errors import RecipeError, UnavailableError
from editloop.images.codec import decode
from editloop.kernel.steps import Keep, SourceItem
from editloop.registry import create
from editloop.schema import EditSample
from editloop.sources import scenes
from editloop.sources.photos import PhotosSource
from editloop.sources.scenes import SCENES, locate, photo


def source(**settings: Any) -> PhotosSource:
    made: PhotosSource = create("source", "photos", settings)
    return made


def small(**settings: Any) -> PhotosSource:
    return source(**{"train": 10, "heldout": 6, "clean": 10, **settings})


def of_split(items: list[SourceItem], split: str) -> list[SourceItem]:
    return [item for item in items if item.split == split]


def load_all(made: PhotosSource) -> dict[str, EditSample]:
    outcomes = made.load(list(made.items()))
    assert all(isinstance(outcome, Keep) for outcome in outcomes)
    return {sample.id: sample for outcome in outcomes for sample in outcome.samples}


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_is_a_colour_photo_of_its_declared_size(name: str) -> None:
    scene, pixels = SCENES[name], photo(name)
    assert pixels.shape == (scene.height, scene.width, 3)
    assert np.ptp(pixels, axis=-1).mean() > 5
    assert scene.caption
    assert scene.licence


def test_there_are_eight_scenes() -> None:
    assert len(SCENES) == 8
    assert len({locate(scene) for scene in SCENES.values()}) == 8


def test_a_cached_photo_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        photo("coffee")[0] = 0


def test_an_absent_photo_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match=r"'astronaut'.*\n.*pip install .*scikit-image"):
        next(small().items())


def test_the_default_holds_three_scenes_out() -> None:
    items = list(source().items())
    assert Counter(item.split for item in items) == {"train": 1500, "heldout": 220}
    by_split = {
        split: {item.uri for item in of_split(items, split)} for split in ("train", "heldout")
    }
    assert len(by_split["train"]) == 5
    assert len(by_split["heldout"]) == 3
    assert not by_split["train"] & by_split["heldout"]


def test_ids_are_unique_and_speak() -> None:
    ids = [item.id for item in small().items()]
    assert len(set(ids)) == len(ids) == 26
    assert ids[0] == "photos/train/astronaut/000000"
    assert ids[10] == "photos/heldout/chelsea/000000"


def test_scenes_take_turns() -> None:
    counts = Counter(item.uri for item in small(train=11).items() if item.split == "train")
    assert sorted(counts.values()) == [2, 2, 2, 2, 3]


def test_listing_is_repeatable() -> None:
    assert list(small().items()) == list(small().items())


def test_another_seed_draws_other_crops() -> None:
    assert list(small(seed=1).items()) != list(small(seed=2).items())


def test_clean_repeats_the_crops_of_train() -> None:
    items = list(small().items())
    train, clean = of_split(items, "train"), of_split(items, "clean")
    assert [item.parameters for item in train] == [item.parameters for item in clean]
    assert [item.uri for item in train] == [item.uri for item in clean]
    assert train[0].id == clean[0].id.replace("clean", "train")


def test_more_crops_leave_the_first_as_they_were() -> None:
    few, many = (of_split(list(small(train=n).items()), "train") for n in (5, 9))
    assert many[:5] == few


def test_crops_keep_to_the_scale_and_the_photo() -> None:
    for item in small(train=200, scale=[0.3, 0.6]).items():
        crop, scene = item.parameters["crop"], SCENES[item.uri.removeprefix("photos:")]
        share = crop["width"] / min(scene.width, scene.height)
        assert 0.29 <= share <= 0.61
        assert crop["width"] == crop["height"]
        assert 0 <= crop["x"] <= scene.width - crop["width"]
        assert 0 <= crop["y"] <= scene.height - crop["height"]


def test_a_tiny_scale_still_gives_pixels() -> None:
    for sample in load_all(small(scale=[0.001, 0.001], size=0)).values():
        assert min(decode(sample.source.bytes).shape[:2]) >= 1


def test_half_of_the_crops_are_mirrored_unless_told_otherwise() -> None:
    flips = [item.parameters["crop"]["flip"] for item in small(train=200).items()]
    assert 0.35 < np.mean(flips) < 0.65
    assert not any(item.parameters["crop"]["flip"] for item in small(flip=False).items())


def test_flipping_is_drawn_apart_from_the_place() -> None:
    def places(**settings: Any) -> list[dict[str, Any]]:
        return [{**item.parameters["crop"], "flip": None} for item in small(**settings).items()]

    assert places(flip=True) == places(flip=False)


@pytest.mark.parametrize("size", [32, 64])
def test_samples_have_the_size_asked_for(size: int) -> None:
    for sample in load_all(small(size=size)).values():
        assert decode(sample.source.bytes).shape == (size, size, 3)


def test_size_zero_keeps_the_photos_own_pixels() -> None:
    made = small(size=0, flip=False)
    for item, outcome in zip(made.items(), made.load(list(made.items())), strict=True):
        crop, picture = item.parameters["crop"], photo(item.uri.removeprefix("photos:"))
        rows = slice(crop["y"], crop["y"] + crop["height"])
        columns = slice(crop["x"], crop["x"] + crop["width"])
        pixels = decode(outcome.samples[0].source.bytes)
        assert np.array_equal(pixels, picture[rows, columns])


def test_a_sample_says_where_it_is_from() -> None:
    sample = load_all(small(seed=7))["photos/train/grace_hopper/000002"]
    made = sample.provenance
    assert made is not None
    assert made.source_uri == "photos:grace_hopper"
    assert (made.generator, made.revision, made.seed) == ("photos", "1", 7)
    assert made.licence == "public domain (U.S. Navy)"
    assert sample.source_caption == SCENES["grace_hopper"].caption
    assert sample.source.path == "grace_hopper.png"


def test_the_same_items_load_as_the_same_bytes_in_any_batch() -> None:
    made = small()
    items = list(made.items())
    alone = [made.load([item])[0] for item in reversed(items)]
    assert made.load(items) == alone[::-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heldout_scenes": ["chelsey"]}, "did you mean 'chelsea'"),
        ({"heldout_scenes": []}, "at least one"),
        ({"heldout_scenes": list(SCENES)}, "at least one"),
        ({"scale": [0.9, 0.5]}, "low <= high"),
        ({"scale": [0.0, 0.5]}, "0 < low"),
        ({"scale": [0.5, 1.5]}, "high <= 1"),
        ({"size": -1}, "size"),
        ({"trian": 5}, "did you mean 'train'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        source(**settings)
