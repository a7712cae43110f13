"""Complete runs of judged protocols by their cards: the questions and the results."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from editloop.chat.fake.faults import Fault, Schedule
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.errors import RecipeError
from editloop.evaluation.evaluate import evaluate
from editloop.evaluation.protocol.card import read_protocol
from editloop.judges.rubrics import read_rubric
from layout_folders import HEIGHT, WIDTH, parquet, picture, png, put

GROUPS = ("subject-remove", "subject-remove", "subject-remove", "text_change")


def number(asked: FakeRequest) -> int:
    """Return the case's number, from its instruction or from the shade of the only picture."""
    found = re.search(r"number (\d)", "\n".join(asked.texts))
    if found:
        return int(found[1])
    shade = picture().mean() - asked.pictures[0].mean()
    return round(float(shade) / 8)


def answer(asked: FakeRequest) -> str:
    """Return scores by the case's number, in the form of the rubric's schema, or in lines."""
    n = number(asked)
    if asked.schema is None:
        return (
            f"Reasoning: because\nCompliance: {max(5 - n, 1)}\n"
            f"Naturalness: 2\nIntegrity: {min(1 + n, 5)}"
        )
    keys = set(asked.schema["properties"])
    scores = {"followed": 9 - n, "kept": 4 + n, "natural": 8 - n, "clean": 6}
    known = {key: scores[key] for key in keys if key in scores}
    if not known:
        known = {"score": 90 - n}
    return json.dumps({**dict.fromkeys(keys, "because"), **known})


def gedit(folder: Path, language: str) -> Path:
    rows = [
        {
            "key": f"k{n}",
            "task_type": group,
            "instruction": f"make it number {n}",
            "instruction_language": language,
            "Intersection_exist": n != 1,
            "input_image": png(shade=n),
        }
        for n, group in enumerate(GROUPS)
    ]
    parquet(folder / "train-00000-of-00001.parquet", rows)
    return folder


def imgedit(folder: Path, kinds: Sequence[str] = ("remove", "remove", "style")) -> Path:
    content: dict[str, Any] = {}
    for n, kind in enumerate(kinds):
        put(folder / f"{n}.png", png(shade=n))
        content[str(n)] = {"id": f"{n}.png", "prompt": f"make it number {n}", "edit_type": kind}
    put(folder / "singleturn.json", json.dumps(content))
    return folder


def hq_edit(folder: Path) -> Path:
    rows = [
        {
            "input": "a cat",
            "input_image": png(shade=n),
            "edit": f"make it number {n}",
            "inverse_edit": "back",
            "output": "a dark cat",
            "output_image": png(shade=n + 1),
        }
        for n in range(2)
    ]
    parquet(folder / "data" / "train-00000-of-00001.parquet", rows)
    return folder


def run(
    protocol: str, data: Path, out: Path, faults: Schedule | None = None, more: str = ""
) -> tuple[dict[str, Any], list[FakeRequest]]:
    """Return the copying editor's numbers, and all questions to the model."""
    came: list[FakeRequest] = []

    def noted(asked: FakeRequest) -> str:
        came.append(asked)
        return answer(asked)

    with FakeServer(noted, faults=faults) as server:
        judge = f"vlm:fake?base_url={server.base_url}{more}"
        results = evaluate(protocol, data, ["copy"], out, judge=judge)
    found: dict[str, Any] = results["evaluation"][f"{protocol}/test"]["copy"]
    return found, came


@pytest.mark.parametrize(("name", "language"), [("gedit", "en"), ("gedit-cn", "cn")])
def test_gedit_runs_whole_and_averages_over_groups(
    tmp_path: Path, name: str, language: str
) -> None:
    found, came = run(name, gedit(tmp_path / "data", language), tmp_path / "out")
    overall = [math.sqrt(min(9 - n, 4 + n) * min(8 - n, 6)) for n in range(4)]
    assert found["overall"]["mean"] == pytest.approx((sum(overall[:3]) / 3 + overall[3]) / 2)
    assert found["semantic_consistency"]["mean"] == pytest.approx(((4 + 5 + 6) / 3 + 6) / 2)
    assert found["perceptual_quality"]["mean"] == pytest.approx(((6 + 6 + 6) / 3 + 5) / 2)
    assert found["overall"]["coverage"] == 1
    assert found["overall"]["low"] <= found["overall"]["mean"] <= found["overall"]["high"]
    assert sorted(len(asked.links) for asked in came) == [1] * 4 + [2] * 4


@pytest.mark.parametrize(
    ("name", "language"), [("gedit-intersection", "en"), ("gedit-cn-intersection", "cn")]
)
def test_the_intersection_has_means_of_its_own_over_its_groups(
    tmp_path: Path, name: str, language: str
) -> None:
    found, came = run(name, gedit(tmp_path / "data", language), tmp_path / "out")
    overall = [math.sqrt(min(9 - n, 4 + n) * min(8 - n, 6)) for n in range(4)]
    assert found["overall"]["count"] == 3
    assert found["overall"]["mean"] == pytest.approx(
        ((overall[0] + overall[2]) / 2 + overall[3]) / 2
    )
    assert len(came) == 6


def test_data_without_the_mark_of_the_intersection_are_refused(tmp_path: Path) -> None:
    row = {"key": "k", "task_type": "text_change", "instruction": "x", "input_image": png()}
    parquet(tmp_path / "train-00000-of-00001.parquet", [{**row, "instruction_language": "en"}])
    with pytest.raises(RecipeError, match="Intersection_exist"):
        run("gedit-intersection", tmp_path, tmp_path / "out")


def test_a_case_that_is_refused_is_left_out_and_lowers_the_coverage(tmp_path: Path) -> None:
    def refuse(asked: FakeRequest) -> Fault | None:
        return Fault.DECLINED if any('"make it number 1"' in text for text in asked.texts) else None

    found, _ = run("gedit", gedit(tmp_path / "data", "en"), tmp_path / "out", refuse)
    overall = {n: math.sqrt(min(9 - n, 4 + n) * min(8 - n, 6)) for n in (0, 2, 3)}
    assert found["overall"]["coverage"] == 0.75
    assert found["overall"]["mean"] == pytest.approx(
        ((overall[0] + overall[2]) / 2 + overall[3]) / 2
    )
    assert found["perceptual_quality"]["coverage"] == 1


def test_imgedit_runs_whole_and_averages_over_types(tmp_path: Path) -> None:
    found, came = run("imgedit", imgedit(tmp_path / "data"), tmp_path / "out")
    cases = [2.67] * 3  # of 5 - n, 2 and 1 + n, to two decimals as released
    assert found["overall"]["mean"] == pytest.approx((sum(cases[:2]) / 2 + cases[2]) / 2)
    assert found["following"]["mean"] == pytest.approx(((5 + 4) / 2 + 3) / 2)
    assert len(came) == 3


def test_imgedits_cap_is_asked_for_and_not_enforced(tmp_path: Path) -> None:
    data = imgedit(tmp_path / "data", ["remove"] * 5)
    found, came = run("imgedit", data, tmp_path / "out")
    # The last case has compliance 1, naturalness 2 and integrity 5.
    assert found["preserving"]["mean"] == 3
    assert found["overall"]["mean"] == pytest.approx(2.67)
    assert all("no score may be above compliance" in "".join(asked.texts) for asked in came)


def test_imgedit_asks_as_released(tmp_path: Path) -> None:
    _, (asked, *_) = run("imgedit", imgedit(tmp_path / "data"), tmp_path / "out")
    assert asked.temperature == 1
    assert asked.schema is None
    assert [link.partition(";")[0] for link in asked.links] == ["data:image/png"] * 2
    assert asked.texts[-2].endswith("The picture before the edit:\n")  # both after all words
    assert asked.texts[-1] == "\nThe picture after the edit:\n"


def test_imgedit_asks_about_each_type_by_its_own_criteria(tmp_path: Path) -> None:
    criteria = read_rubric("imgedit").criteria
    _, came = run("imgedit", imgedit(tmp_path / "data", list(criteria)), tmp_path / "out")
    texts = {number(asked): "\n".join(asked.texts) for asked in came}
    asked = [
        [kind for kind in criteria if criteria[kind] in text] for _, text in sorted(texts.items())
    ]
    assert asked == [[kind] for kind in criteria]


def test_a_type_that_imgedit_does_not_know_is_unscored_with_its_reason(tmp_path: Path) -> None:
    data = imgedit(tmp_path / "data", ["remove", "relight"])
    found, came = run("imgedit", data, tmp_path / "out")
    assert len(came) == 1
    assert found["overall"]["coverage"] == 0.5


def test_hq_edit_is_asked_at_a_tenth_with_jpegs_of_its_own_size(tmp_path: Path) -> None:
    found, came = run("hq-edit", hq_edit(tmp_path / "data"), tmp_path / "out")
    assert {name for name in found if found[name]["coverage"] == 1} == {"alignment", "coherence"}
    assert {asked.temperature for asked in came} == {0.1}
    assert {asked.pictures[0].shape for asked in came} == {(HEIGHT, WIDTH, 3)}
    assert all(link.startswith("data:image/jpeg") for asked in came for link in asked.links)


def test_real_edit_is_shown_at_height_512_to_any_judge() -> None:
    card = read_protocol("real-edit").judge
    assert card is not None
    assert card.height == 512


@pytest.mark.parametrize("name", ["gedit", "gedit-cn", "hq-edit", "imgedit", "real-edit"])
def test_a_cards_rubrics_score_what_it_counts_on_its_scales(name: str) -> None:
    card = read_protocol(name).judge
    assert card is not None
    scales = {
        key: (scale.low, scale.high, scale.passed is not None)
        for rubric in map(read_rubric, card.rubrics or card.perspectives)
        for key, scale in rubric.perspectives.items()
    }
    assert scales == {
        key: (each.low, each.high, each.passes) for key, each in card.perspectives.items()
    }


@pytest.mark.parametrize(
    ("judge", "told"),
    [
        ("metric", "the judge scores following from 0 to 5, the protocol from 0 to 10"),
        ("vlm:m?base_url=http://127.0.0.1:9/v1&rubrics=imgedit", "from 1 to 5, the protocol"),
    ],
)
def test_a_judge_of_another_scale_is_refused(tmp_path: Path, judge: str, told: str) -> None:
    data = gedit(tmp_path / "data", "en")
    with pytest.raises(RecipeError, match=told):
        evaluate("gedit", data, ["copy"], tmp_path / "out", judge=judge)
