"""The build step `filter`: what it keeps, why it drops, what it pays."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from editloop.errors import FailureClass, RecipeError, UnavailableError
from editloop.filters.filter_step import FilterSettings, FilterStep
from editloop.images.codec import encode_png
from editloop.kernel.steps import Drop, Fail, Keep, Outcome, StepContext
from editloop.loop import run as loop
from editloop.metrics.metric_set import MetricSet, metrics_of
from editloop.runtime.seeding import generator
from editloop.schema import Cause, EditedPair, EditSample, Image, Score, Unscored
from editloop.settings import validate
from tiny_encoders import save_clip, save_dinov2


class Stated:
    """A metric whose value stands in the target's caption; `later` is a server's failure."""

    name = "stated"
    version = "1"
    needs = frozenset({"edited", "captions"})

    def measure(self, batch: Sequence[EditedPair]) -> list[Score | Unscored]:
        return [
            Unscored("busy", cause=Cause.TRANSIENT)
            if pair.captions.target == "later"
            else Unscored("no value")
            if pair.captions.target is None
            else Score(float(pair.captions.target))
            for pair in batch
        ]


STATED = f"python:{__name__}:Stated"


def picture(name: str, height: int = 40, width: int = 48) -> np.ndarray:
    return generator("filter", name).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sample(name: str, caption: str | None = None, **fields: Any) -> EditSample:
    """A source, and a target that mixes the source with another picture."""
    source, other = picture(f"{name[0]}/source"), picture(name)
    share = generator("share", name).uniform(0.05, 0.9)
    target = ((1 - share) * source + share * other).astype(np.uint8)
    return EditSample(
        id=name,
        source=Image(encode_png(source)),
        target=Image(encode_png(target)),
        instruction="mix it",
        source_caption="a photo",
        target_caption=caption or f"a mixed photo {name[-1]}",
        **fields,
    )


def step(*rules: dict[str, Any], cache: Path | None = None) -> FilterStep:
    made = FilterStep(validate(FilterSettings, {"rules": list(rules)}, where="filter"))
    made.setup(StepContext(0, "train", cache))
    return made


def kept(outcomes: Sequence[Outcome]) -> list[str]:
    return [each.samples[0].id for each in outcomes if isinstance(each, Keep)]


def masked(mask: np.ndarray | None) -> EditSample:
    return sample("a1", mask=None if mask is None else Image(encode_png(mask)))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {"clip": str(save_clip(folder / "clip")), "dinov2": str(save_dinov2(folder / "dinov2"))}


def metrics(models: dict[str, str]) -> dict[str, str]:
    """SPECs of UltraEdit's metrics, by name."""
    return {
        "clip_image": f"clip:image?model={models['clip']}&crop=none",
        "clip_direction": f"clip:direction?model={models['clip']}&crop=none",
        "clip_text": f"clip:text?model={models['clip']}&crop=none",
        "dinov2": f"dinov2?model={models['dinov2']}",
        "dinov2_ultraedit": f"dinov2?model={models['dinov2']}&crop=nearest",
        "ssim7": "pixels:ssim7",
    }


@pytest.fixture(scope="module")
def samples() -> list[EditSample]:
    return [sample(f"{scene}{at}") for scene in "abcd" for at in range(6)]


@pytest.fixture(scope="module")
def measured(models: dict[str, str], samples: list[EditSample]) -> dict[str, list[float]]:
    """Every metric of every sample, measured alone."""
    specs = [
        f"{spec}{'&' if '?' in spec else '?'}against=source" for spec in metrics(models).values()
    ]
    chosen = metrics_of(specs)
    values: dict[str, list[float]] = {name: [] for name in chosen}
    for each in samples:
        (pair,) = next(iter(pairs_of(each)))
        for name, score in MetricSet(chosen).measure([pair])[0].items():
            assert isinstance(score, Score)
            values[name].append(score.value)
    return values


def pairs_of(each: EditSample) -> Any:
    from editloop.filters.pairs import DecodedPairs

    return DecodedPairs().groups([each], frozenset({"source", "edited"}))


@pytest.fixture(scope="module")
def rules(models: dict[str, str], measured: dict[str, list[float]]) -> list[dict[str, Any]]:
    """A limit of each metric that a quarter of the samples breaks."""
    return [
        {"metric": spec, "least": float(np.quantile(measured[name], 0.25))}
        for name, spec in metrics(models).items()
    ]


@pytest.mark.slow
def test_every_order_keeps_what_keeps_all_rules(
    rules: list[dict[str, Any]], samples: list[EditSample], measured: dict[str, list[float]]
) -> None:
    expected = [
        each.id
        for at, each in enumerate(samples)
        if all(values[at] >= np.quantile(values, 0.25) for values in measured.values())
    ]
    assert 0 < len(expected) < len(samples)
    for order in list(permutations(range(len(rules))))[::97]:
        assert kept(step(*(rules[at] for at in order)).process(samples)) == expected
    alone = [kept(step(*rules).process([each])) for each in samples]  # as in other batches
    assert [name for names in alone for name in names] == expected


def test_cheap_rules_come_first_and_dinov2_last(rules: list[dict[str, Any]]) -> None:
    made = step(*reversed(rules), {"score": "following", "least": 3}, {"mask": "area", "most": 0.9})
    names = [gate.name for gate in made.gates]
    assert names[:3] == ["following", "mask_area", "ssim7"]
    assert set(names[3:6]) == {"clip_text", "clip_direction", "clip_image"}


def test_pictures_are_encoded_once_and_only_if_they_got_so_far(
    models: dict[str, str], samples: list[EditSample], tmp_path: Path
) -> None:
    clip, dinov2 = (metrics(models)[name] for name in ("clip_image", "dinov2"))
    direction = metrics(models)["clip_direction"]
    limits = ({"metric": clip, "least": 2}, {"metric": direction, "least": -1})
    made = step(*limits, {"metric": dinov2, "least": -1}, cache=tmp_path)
    assert kept(made.process(samples)) == []
    assert encoded(made) == (4 + len(samples), 0)  # equal sources are one picture; no text
    some = ({"metric": clip, "least": -1}, {"metric": direction, "least": -1})
    again = step(*some, cache=tmp_path)  # other limits: the pictures are known
    assert len(kept(again.process(samples))) == len(samples)
    assert encoded(again) == (0, 7)
    last = step(*some, cache=tmp_path)
    last.process(samples)
    assert encoded(last) == (0, 0)


def encoded(made: FilterStep) -> tuple[int, int]:
    counts = made.embeddings.counts
    return counts.images_encoded, counts.texts_encoded


def test_limits_are_kept_to_the_last_bit() -> None:
    limit = 0.7
    values = [np.nextafter(limit, 0), limit, np.nextafter(limit, 1)]
    given = [sample(f"a{at}", repr(float(value))) for at, value in enumerate(values)]
    assert kept(step({"metric": STATED, "least": limit}).process(given)) == ["a1", "a2"]
    assert kept(step({"metric": STATED, "most": limit}).process(given)) == ["a0", "a1"]
    both = {"metric": STATED, "least": limit, "most": limit}
    assert kept(step(both).process(given)) == ["a1"]


def test_a_drop_has_one_of_few_reasons_and_the_measured_value() -> None:
    given = [sample("a0", "0.25"), sample("a1", "0.9"), sample("a2", "nan"), sample("a3", "0.5")]
    found = step({"metric": f"rank={STATED}", "least": 0.3, "most": 0.8}).process(given)
    assert found[:2] == [
        Drop("rank below 0.3", detail="0.25"),
        Drop("rank above 0.8", detail="0.9"),
    ]
    assert found[2] == Drop("rank below 0.3", detail="nan")
    assert isinstance(found[3], Keep)
    assert found[3].samples[0].scores == {"rank": Score(0.5)}


def test_what_cannot_be_measured_is_dropped_or_measured_later() -> None:
    unknown = EditSample(**{**_fields(sample("a0")), "target_caption": None})
    rule = {"metric": STATED, "least": 0}
    dropped, failed = step(rule).process([unknown, sample("a1", "later")])
    assert dropped == Drop("stated unscored", detail="no value")
    assert isinstance(failed, Fail)
    assert failed.failure is FailureClass.TRANSIENT


def _fields(each: EditSample) -> dict[str, Any]:
    return {name: getattr(each, name) for name in EditSample.__slots__}


def test_scores_of_a_judge_are_limited_too() -> None:
    given = [
        sample("a0", scores={"following": Score(4.0)}),
        sample("a1", scores={"following": Score(2.5)}),
        sample("a2", scores={"following": Unscored("refused")}),
        sample("a3"),
    ]
    found = step({"score": "following", "least": 3}).process(given)
    assert found == [
        Keep((given[0],)),
        Drop("following below 3", detail="2.5"),
        Drop("following unscored", detail="refused"),
        Drop("following unscored", detail="the sample has no such score"),
    ]


@pytest.mark.parametrize(
    ("pixels", "stays"), [(99, False), (100, True), (9000, True), (9001, False)]
)
def test_the_area_of_a_mask_is_exact(pixels: int, stays: bool) -> None:
    mask = np.zeros(10_000, np.uint8)
    mask[:pixels] = 255
    rule = {"mask": "area", "least": 0.01, "most": 0.9}
    assert bool(kept(step(rule).process([masked(mask.reshape(100, 100))]))) is stays


def test_a_missing_mask_allows_everything() -> None:
    found = step({"mask": "area", "most": 0.9}).process([masked(None)])
    assert found == [Drop("mask_area above 0.9", detail="1")]
    assert kept(step({"mask": "outlines", "most": 1}).process([masked(None)])) == ["a1"]


@pytest.mark.parametrize("count", [3, 500, 501])
def test_outlines_of_a_mask_are_counted(count: int) -> None:
    mask = np.zeros((100, 100), np.uint8)
    for at in range(count):
        mask[4 * (at // 25) + 1, 4 * (at % 25) + 1] = 255
    cv2.rectangle(mask, (0, 90), (20, 99), 255, 2)  # one outer outline, though it has a hole
    (found,) = step({"mask": "outlines", "most": 501}).process([masked(mask)])
    assert bool(kept([found])) is (count <= 500)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([], "at least one rule"),
        ([{"metric": "pixels:l1"}], "least, most or both"),
        ([{"metric": "pixels:l1", "score": "quality", "least": 1}], "names one of"),
        ([{"score": "quality", "least": 3, "most": 2}], "least is above most"),
        ([{"metric": "pixels:l1?against=target", "least": 0}], "with itself"),
        ([{"metric": "pixels:l1", "least": 0}, {"metric": "pixels:l1", "most": 1}], "same name"),
    ],
)
def test_rules_that_mean_nothing_are_refused(rules: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        step(*rules)


def test_absent_weights_are_told_with_the_command_before_anything_runs() -> None:
    rule = {"metric": "dinov2?model=nobody/no-such-model", "least": 0.4}
    made = FilterStep(validate(FilterSettings, {"rules": [rule]}, where="filter"))
    with pytest.raises(UnavailableError) as absent:
        _ = made.parameters
    assert absent.value.command
    with pytest.raises(UnavailableError):
        made.setup(StepContext(0, "train"))


@pytest.mark.slow
def test_a_run_counts_reasons_lists_values_and_shows_who_is_left(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "name: filtered\n"
        "sources: [{kind: photos, size: 64, train: 12, heldout: 0}]\n"
        "build:\n"
        "  - {kind: darkroom, fault_rate: {train: 0}}\n"
        "  - kind: filter\n"
        "    rules:\n"
        "      - {metric: 'pixels:ssim7', least: 0.5}\n"
        "      - {metric: 'pixels:l1', most: 0.1}\n",
        encoding="utf-8",
    )
    results = loop.run(recipe, tmp_path / "run", workers=1)
    build = results["build"]
    lost = build["by_step"]["dropped"]["filter"]
    assert set(lost) <= {"ssim7 below 0.5", "l1 above 0.1"}
    assert 0 < sum(lost.values()) == build["in"] - build["out"]
    rows = pq.read_table(tmp_path / "run/rejects/dropped.parquet").to_pylist()
    assert len(rows) == sum(lost.values())
    assert all(float(row["detail"]) < 0.5 for row in rows if row["reason"].startswith("ssim7"))
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert f'<td>{build["out"]} <span class="hint">' in page
