"""The judge `metric-clip` with a tiny CLIP: `metric`, and following by CLIP's direction."""

from pathlib import Path

import numpy as np
import pytest

from editloop.errors import UnavailableError
from editloop.judges import metric_clip
from editloop.judges.metric import MetricJudge
from editloop.judges.metric_clip import MetricClipJudge
from editloop.metrics.clip import ClipMetric
from editloop.metrics.embeddings import Embeddings
from editloop.schema import Captions, Cause, EditedPair, Score, Unscored
from tiny_encoders import save_clip

CAPTIONS = Captions("a red house", "a blue house in the snow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"))


def pair(seed: int = 0, **changes: object) -> EditedPair:
    source = np.random.default_rng(seed).integers(0, 200, (48, 48, 3), dtype=np.uint8)
    mask = np.zeros((48, 48), np.uint8)
    mask[13:30, 11:31] = 255
    edited = source.copy()
    edited[mask > 0] = (250, 20, 20)
    fields = {"source": source, "edited": edited, "mask": mask, "captions": CAPTIONS}
    return EditedPair(id="a", instruction="", **{**fields, **changes})  # type: ignore[arg-type]


def judge(folder: Path) -> MetricClipJudge:
    return MetricClipJudge(MetricClipJudge.Settings(model=str(folder)))


def direction(folder: Path, case: EditedPair) -> float:
    metric = ClipMetric(ClipMetric.Settings(target="direction", model=str(folder), crop="none"))
    (score,) = metric.measure([case])
    assert isinstance(score, Score)
    return score.value


def test_following_is_the_lower_of_change_and_direction(folder: Path) -> None:
    pairs = [pair(seed) for seed in range(6)]
    cosines = [direction(folder, each) for each in pairs]
    changed = [verdict["following"].value for verdict in MetricJudge().judge(pairs)]
    found = [verdict["following"].value for verdict in judge(folder).judge(pairs)]
    expected = [min(c, 5, max(0, 15 * d)) for c, d in zip(changed, cosines, strict=True)]
    assert found == pytest.approx(expected, abs=1e-6)
    assert len({round(value, 3) for value in found}) > 1


@pytest.mark.parametrize(
    ("cosine", "value", "passed"),
    [(-0.5, 0, False), (0.1, 1.5, False), (0.19, 2.85, False), (0.2, 3, True), (0.5, 5, True)],
)
def test_the_published_limit_passes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cosine: float, value: float, passed: bool
) -> None:
    def fixed(_: ClipMetric, batch: list[EditedPair]) -> list[Score]:
        return [Score(cosine)] * len(batch)

    monkeypatch.setattr(ClipMetric, "measure", fixed)
    score = judge(folder).judge([pair()])[0]["following"]
    assert (score.value, score.passed) == (pytest.approx(value), passed)


def test_the_other_perspectives_are_metrics(folder: Path) -> None:
    (ours,), (metrics,) = judge(folder).judge([pair()]), MetricJudge().judge([pair()])
    assert (ours["preserving"], ours["quality"]) == (metrics["preserving"], metrics["quality"])


def test_a_copy_follows_nothing_with_or_without_captions(folder: Path) -> None:
    copies = [pair(edited=pair().source), pair(edited=pair().source, captions=Captions())]
    assert [verdict["following"].value for verdict in judge(folder).judge(copies)] == [0, 0]


def test_without_captions_following_is_not_known(folder: Path) -> None:
    made = judge(folder)
    (verdict,) = made.judge([pair(captions=Captions())])
    assert verdict["following"] == Unscored(
        "the case has no source caption", made.version, Cause.MISSING_INPUT
    )


def test_a_store_is_shared(folder: Path) -> None:
    made, store = judge(folder), Embeddings()
    made.use(store)
    made.judge([pair()])
    assert store.counts.images_encoded > 0


def test_without_weights_it_is_unavailable() -> None:
    made = MetricClipJudge(MetricClipJudge.Settings(model="nobody/nothing"))
    assert made.weights == ("nobody/nothing",)
    assert isinstance(made.missing(), UnavailableError)
    with pytest.raises(UnavailableError, match="hf download nobody/nothing"):
        made.judge([pair()])


def test_the_version_names_what_it_rests_on(folder: Path) -> None:
    assert judge(folder).version.startswith("metric-clip-1 metric-2 clip-")
    assert judge(folder).version.startswith(metric_clip.VERSION)
