"""The build step: its edits of a photo, with texts, rewards and records."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from editloop.darkroom.operations import OPERATIONS
from editloop.errors import RecipeError
from editloop.images.codec import decode, encode_png
from editloop.kernel.steps import Drop, Keep, Outcome, StepContext
from editloop.registry import create
from editloop.schema import PERSPECTIVES, EditSample, EditType, Image, Json, Score
from editloop.sources.scenes import photo
from editloop.storage.samples import to_row


def _photos(split: str, count: int, size: int = 48) -> list[EditSample]:
    settings = {"size": size, "train": count, "clean": count, "heldout": count}
    source = create("source", "photos", settings)
    items = [item for item in source.items() if item.split == split]
    return [out.samples[0] for out in source.load(items) if isinstance(out, Keep)]


def _outcomes(
    settings: Mapping[str, Json], photos: list[EditSample], split: str = "train"
) -> list[Outcome]:
    step = create("build", "darkroom", settings)
    step.setup(StepContext(seed=5, split=split))
    return list(step.process(photos))


def _made(settings: Mapping[str, Json], split: str = "train", count: int = 10) -> list[EditSample]:
    outcomes = _outcomes(settings, _photos(split, count), split)
    return [sample for out in outcomes if isinstance(out, Keep) for sample in out.samples]


def test_a_sample_is_whole() -> None:
    for sample in _made({}):
        assert sample.target is not None
        assert sample.mask is not None
        assert sample.source_caption
        assert sample.target_caption
        assert sample.instruction
        assert sample.inverse_instruction
        assert sample.provenance is not None
        assert sample.provenance.source_uri is not None
        assert sample.provenance.parameters["crop"]
        assert set(sample.scores) == set(PERSPECTIVES)
        assert to_row(sample)


def test_every_photo_has_as_many_edits_as_asked() -> None:
    samples = _made({"edits_per_photo": 3}, count=4)
    assert len(samples) == 12
    assert len({sample.id for sample in samples}) == 12
    assert samples[0].id == f"{samples[0].parent_id}/0"
    assert len({sample.instruction for sample in samples[:3]}) > 1


@pytest.mark.slow
def test_all_edit_types_come_about_equally_often() -> None:
    samples = _made({"edits_per_photo": 10}, count=28)
    counts = Counter(sample.edit_type for sample in samples)
    assert set(counts) == set(EditType)
    assert min(counts.values()) > 0.5 * len(samples) / 7


def test_only_the_named_operations_are_made() -> None:
    names = ["sepia", "remove"]
    samples = _made({"operations": names})
    made = {s.provenance.parameters["edit"]["operation"] for s in samples if s.provenance}
    assert made == set(names)


def test_a_batch_does_not_change_its_samples() -> None:
    photos = _photos("train", 5)
    together = _outcomes({}, photos)
    alone = [_outcomes({}, [item])[0] for item in photos]
    assert together == alone


def test_the_clean_split_repeats_the_edits_of_train_without_faults() -> None:
    train, clean = _made({}, "train"), _made({}, "clean")
    assert [s.instruction for s in train] == [s.instruction for s in clean]
    assert [s.source.bytes for s in train] == [s.source.bytes for s in clean]
    assert all(_is_clean(sample) for sample in clean)
    assert not all(_is_clean(sample) for sample in train)


def _is_clean(sample: EditSample) -> bool:
    scores = [score for score in sample.scores.values() if isinstance(score, Score)]
    return [(s.value, s.passed, s.text) for s in scores] == [(5, True, "None")] * 3


@pytest.mark.slow
def test_more_than_half_of_the_training_samples_fall_short_in_each_perspective() -> None:
    samples = _made({}, count=160)
    for perspective in PERSPECTIVES:
        scores = [sample.scores[perspective] for sample in samples]
        short = [score for score in scores if isinstance(score, Score) and score.value < 5]
        assert len(short) > 0.5 * len(samples)
        assert all(score.text and score.text != "None" for score in short)


def test_heldout_photos_are_clean_by_default() -> None:
    assert all(_is_clean(sample) for sample in _made({}, "heldout"))


def test_a_session_goes_on_from_picture_to_picture() -> None:
    settings = {"session_share": {"heldout": 1.0}, "session_turns": 4}
    samples = _made(settings, "heldout", count=4)
    assert len(samples) == 16
    for first, second in pairwise(samples):
        if second.turn > 1:
            assert second.session == first.session
            assert second.turn == first.turn + 1
            assert first.target is not None
            assert second.source.bytes == first.target.bytes
            assert second.source_caption == first.target_caption
    assert all(re.fullmatch(rf"{s.parent_id}/session/{s.turn}", s.id) for s in samples)


def test_in_a_training_session_faults_do_not_pile_up() -> None:
    settings = {"session_share": {"train": 1.0, "clean": 1.0}}
    train, clean = _made(settings, "train", 4), _made(settings, "clean", 4)
    assert [s.source.bytes for s in train] == [s.source.bytes for s in clean]


def test_a_share_of_photos_becomes_sessions() -> None:
    samples = _made({"session_share": {"train": 0.5}, "session_turns": 2}, count=40)
    sessions = {sample.session for sample in samples if sample.session}
    assert 8 <= len(sessions) <= 32


def test_every_edit_shows() -> None:
    for sample in _made({}, "heldout", count=20):
        assert sample.target is not None
        assert sample.mask is not None
        inside = decode(sample.mask.bytes)[..., 0] > 0
        change = np.abs(decode(sample.source.bytes).astype(int) - decode(sample.target.bytes))
        assert change[inside].mean() >= 6


def test_a_tiny_photo_is_dropped_with_the_reason() -> None:
    photo = EditSample("a/b", Image(encode_png(np.zeros((31, 90, 3), np.uint8))))
    assert _outcomes({}, [photo]) == [Drop("smaller than 32 pixels")]


def test_a_photo_on_which_nothing_would_show_is_dropped() -> None:
    black = EditSample("a/b", Image(encode_png(np.zeros((40, 40, 3), np.uint8))))
    assert _outcomes({"operations": ["darker", "vivid"]}, [black]) == [
        Drop("no edit would be visible")
    ]


def test_a_photo_without_a_record_of_its_origin_still_works() -> None:
    plain = EditSample("a/b", Image(encode_png(photo("coffee")[:64, :64])))
    made = _outcomes({}, [plain])[0]
    assert isinstance(made, Keep)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"operations": ["sepai"]}, "did you mean 'sepia'"),
        ({"fault_rate": {"train": 1.2}}, "a share must be in 0..1"),
        ({"session_turns": 5}, "less than or equal to 4"),
        ({"edit_per_photo": 2}, "did you mean 'edits_per_photo'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Json], words: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(words)):
        create("build", "darkroom", settings)


def test_operations_named_in_the_settings_are_the_tables() -> None:
    assert create("build", "darkroom", {"operations": list(OPERATIONS)}).parameters["operations"]
