"""The fake server returns, through the whole client, the truth judge's own scores."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.darkroom.step import DarkroomStep
from editloop.darkroom.truth import KnownTruthJudge
from editloop.judges.fake.forms import asks_by, scores
from editloop.judges.fake.truth import truth_answers
from editloop.judges.rubrics import Rubric, Scale, read_rubric, rubric_names
from editloop.judges.samples import sample_pair
from editloop.judges.vlm import VlmJudge
from editloop.kernel.steps import Keep, StepContext
from editloop.schema import EditedPair, EditSample, Score, Unscored
from editloop.sources.photos import PhotosSource


@pytest.fixture(scope="module")
def samples() -> list[EditSample]:
    """Return faulty edits of a few photos, several of some."""
    source = PhotosSource(PhotosSource.Settings(size=64, train=4, heldout=0))
    loaded = source.load(list(source.items()))
    photos = [outcome.samples[0] for outcome in loaded if isinstance(outcome, Keep)]
    step = DarkroomStep(DarkroomStep.Settings(edits_per_photo=3, fault_rate={"train": 0.6}))
    step.setup(StepContext(seed=3, split="train"))
    made = step.process(photos)
    return [sample for outcome in made if isinstance(outcome, Keep) for sample in outcome.samples]


@pytest.fixture(scope="module")
def server(samples) -> Iterator[FakeServer]:
    with FakeServer(truth_answers(samples)) as made:
        yield made


def verdicts(server: FakeServer, folder: Path, pairs: list[EditedPair], **settings: Any) -> list:
    given = {"target": "fake", "base_url": server.base_url, "ledger": folder / "l.db", **settings}
    judge = VlmJudge(VlmJudge.Settings(**given))
    try:
        return judge.judge(pairs)
    finally:
        judge.close()


def values(verdict: Any) -> dict[str, float | None]:
    return {
        name: score.value if isinstance(score, Score) else None for name, score in verdict.items()
    }


def truth(pairs: list[EditedPair]) -> list[dict[str, float | None]]:
    return [values(verdict) for verdict in KnownTruthJudge().judge(pairs)]


def pairs_of(samples: list[EditSample]) -> list[EditedPair]:
    return [pair for sample in samples if (pair := sample_pair(sample).pair) is not None]


@pytest.mark.slow
@pytest.mark.parametrize("rubrics", ["following,preserving,quality", "combined"])
def test_scores_are_the_truth_judges_own(tmp_path, samples, server, rubrics) -> None:
    pairs = pairs_of(samples)
    assert len(pairs) >= 8
    given = [values(each) for each in verdicts(server, tmp_path, pairs, rubrics=rubrics)]
    wanted = truth(pairs)
    if rubrics == "combined":  # one reply has all scores or none
        wanted = [each if None not in each.values() else dict.fromkeys(each) for each in wanted]
    assert given == wanted


@pytest.mark.slow
def test_untouched_copies_and_perfect_edits_are_known(tmp_path, samples, server) -> None:
    pairs = pairs_of(samples)[:6]
    copies = [replace(pair, edited=pair.source) for pair in pairs]
    perfect = [replace(pair, edited=pair.target) for pair in pairs]
    for tried in (copies, perfect):
        given = verdicts(server, tmp_path, tried, rubrics="following,preserving")
        wanted = truth(tried)
        for each in wanted:
            del each["quality"]
        assert [values(each) for each in given] == wanted


def test_a_picture_that_nobody_knows_is_judged_as_it_came(tmp_path, samples, server) -> None:
    pairs = [replace(pair, edited=np.zeros_like(pair.source)) for pair in pairs_of(samples)[:3]]
    given = verdicts(server, tmp_path, pairs)
    assert [values(each) for each in given] == truth(pairs)


def test_unknown_photos_are_declined(tmp_path, server) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    pair = EditedPair("x", noise, "paint it green", noise)
    (verdict,) = verdicts(server, tmp_path, [pair], rubrics="following", re_asks=0)
    assert isinstance(verdict["following"], Unscored)
    assert verdict["following"].reason.startswith("refused")


def test_hq_edits_scores_are_made_of_the_three(tmp_path, samples, server) -> None:
    pairs = pairs_of(samples)[:5]
    given = verdicts(server, tmp_path, pairs, rubrics="alignment,coherence")
    for each, known in zip(given, truth(pairs), strict=True):
        lowest = [known["following"], known["preserving"]]
        expected = None if None in lowest else min(lowest) * 20
        assert values(each) == {
            "alignment": pytest.approx(expected),
            "coherence": pytest.approx(known["quality"] * 20),
        }


def test_a_reply_has_the_form_that_a_rubric_wants() -> None:
    verdict = {"mine": Score(5.0, True, "fine"), "following": Score(4.0, True, "fine"),
               "preserving": Score(2.0, False, "bad"), "quality": Score(5.0, True)}  # fmt: skip
    listed = {"mine": Scale(low=0, high=10, value="score.0", text="why"),
              "quality": Scale(low=0, high=10, value="score.1")}  # fmt: skip
    fields = {"name": "n", "version": 1, "title": "", "source": "", "prompt": "{edited}"}
    made = Rubric(**fields, perspectives=listed)
    assert scores(made, verdict) == '{"why": "bad", "score": [4.0, 10.0]}'
    lines = Rubric(**fields, perspectives={"quality": Scale(low=1, high=5, value="Q", passed="ok")},
                   reply="lines")  # fmt: skip
    assert scores(lines, verdict) == "Q: 5.0\nok: yes"


def test_every_rubric_of_the_package_is_recognised() -> None:
    rubrics = [read_rubric(name) for name in rubric_names()]
    for rubric in rubrics:
        texts = (rubric.system, *(f"{piece}..." for piece in rubric.pieces[::2]))
        asked = FakeRequest("m", texts, ("link",) * len(rubric.shows), "text", None, "d")
        assert [each.name for each in rubrics if asks_by(each, asked)] == [rubric.name]


def test_a_sample_of_another_making_is_declined(tmp_path, samples) -> None:
    plain = replace(samples[0], provenance=None)
    with FakeServer(truth_answers([plain])) as server:
        pair = sample_pair(plain).pair
        assert pair is not None
        (verdict,) = verdicts(server, tmp_path, [pair], rubrics="quality", re_asks=0)
    assert isinstance(verdict["quality"], Unscored)


def test_no_samples_know_nothing(tmp_path) -> None:
    with FakeServer(truth_answers([])) as server:
        pixels = np.zeros((64, 64, 3), np.uint8)
        pair = EditedPair("x", pixels, "do it", pixels)
        (verdict,) = verdicts(server, tmp_path, [pair], re_asks=0)
    assert all(isinstance(each, Unscored) for each in verdict.values())
