"""SPECs of judges in a calibration: a separate ledger, and a new question in each round."""

import pytest

from editloop.chat.client import CostEstimate
from editloop.errors import RecipeError
from editloop.judges.calibration.cost import estimate_of
from editloop.judges.calibration.scales import check_scales
from editloop.judges.specs import in_round, keeping_in, ledger_of
from editloop.registry import parse_spec

VLM = "vlm:m?base_url=http://127.0.0.1:9/v1"
PANEL = {
    "kind": "panel",
    "repeats": 2,
    "judges": [{"kind": "vlm", "target": "m", "base_url": "http://127.0.0.1:9/v1"}],
}


def written(folder, text):
    path = folder / "judge.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def judge_of(text):
    return parse_spec(text, "judge")


def test_a_yaml_file_names_a_judge(tmp_path) -> None:
    spec = judge_of(written(tmp_path, "kind: panel\njudges: [metric, truth]\n"))
    assert (spec.name, spec.kind) == ("judge", "panel")
    assert spec.settings["judges"] == ["metric", "truth"]


def test_a_rubrics_file_at_the_end_of_a_spec_is_not_the_judges(tmp_path) -> None:
    spec = judge_of(f"{VLM}&rubrics={tmp_path}/own.yaml")
    assert (spec.kind, spec.settings["rubrics"]) == ("vlm", f"{tmp_path}/own.yaml")


def test_a_missing_yaml_file_is_named() -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.yaml"):
        judge_of("nowhere.yaml")


def test_a_judge_keeps_its_replies_where_the_calibration_is(tmp_path) -> None:
    kept = keeping_in(judge_of(VLM), tmp_path / "own")
    assert kept.settings["ledger"] == str(tmp_path / "own")
    assert kept.settings["run"] == "calibration"


def test_a_ledger_that_the_spec_names_is_kept(tmp_path) -> None:
    kept = keeping_in(judge_of(f"{VLM}&ledger=mine"), tmp_path / "own")
    assert kept.settings["ledger"] == "mine"


def test_a_ledger_of_a_panels_member_is_found() -> None:
    named = parse_spec({**PANEL, "judges": ["metric", f"{VLM}&ledger=mine"]}, "judge")
    assert ledger_of(named) == "mine"
    assert ledger_of(parse_spec(PANEL, "judge")) is None


def test_a_judge_without_a_ledger_gets_none(tmp_path) -> None:
    assert keeping_in(judge_of("metric"), tmp_path).settings == {}


def test_a_class_of_a_users_own_needs_no_settings(tmp_path) -> None:
    spec = judge_of("python:calibration_judges:PlainJudge")
    assert in_round(keeping_in(spec, tmp_path), 1).settings == {}


def test_each_round_is_another_repeat() -> None:
    spec = judge_of(f"{VLM}&repeat=3")
    assert in_round(spec, 2).settings["repeat"] == 5
    assert in_round(judge_of("metric"), 2) == judge_of("metric")


def test_a_panels_rounds_do_not_repeat_its_own_repeats(tmp_path) -> None:
    kept = in_round(keeping_in(parse_spec(PANEL, "judge"), tmp_path / "own"), 1)
    (model,) = kept.settings["judges"]
    assert (model["repeat"], model["ledger"]) == (2, str(tmp_path / "own"))
    assert len(kept.create("judge").members) == 2


class Priced:
    def estimate(self, batch):
        return CostEstimate(1, len(batch), 10 * len(batch), len(batch), 0.5)


def test_an_estimate_adds_up_batches_and_judges() -> None:
    asked = [(Priced(), range(100)), (Priced(), range(3)), (object(), range(9))]
    assert estimate_of(asked) == CostEstimate(
        3, calls=103, input_tokens=1030, output_tokens=103, cost=1.5
    )


def test_a_judge_of_another_scale_is_not_calibrated() -> None:
    check_scales({"following": (0, 5), "naturalness": (0, 10)})
    with pytest.raises(RecipeError, match="a calibration needs following from 0 to 5: 0 to 10"):
        check_scales({"following": (0, 10)})
