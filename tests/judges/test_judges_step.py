"""A judge as a step: its verdicts become scores, and no sample is lost."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editloop.darkroom.develop import replay
from editloop.errors import FailureClass, StepError
from editloop.images.codec import decode, decode_mask, encode_png
from editloop.judges import step as module
from editloop.judges.samples import sample_pair
from editloop.judges.step import JudgeStep
from editloop.judges.truth import TruthJudge
from editloop.kernel.resources import CPU, NETWORK, Resources
from editloop.kernel.steps import Fail, Keep, StepContext
from editloop.registry import create
from editloop.schema import PERSPECTIVES, Cause, EditedPair, EditSample, Image, Score, Unscored
from judging_parts import Plain, ServerJudge

PLAIN = {"kind": "judging_parts:Plain"}
ASKING = {"kind": "judging_parts:ServerJudge", "target": "m", "base_url": "http://localhost:1/v1"}


def judging(judge: Any, **settings: Any) -> JudgeStep:
    return JudgeStep(JudgeStep.Settings(judge=judge, **settings))


@cache
def edits(split: str = "train") -> tuple[EditSample, ...]:
    """Return darkroom edits of real photos; those of `train` have faults."""
    source = create("source", "photos", {"size": 48, "train": 12, "heldout": 6})
    outcomes = source.load([item for item in source.items() if item.split == split])
    step = create("build", "darkroom", {})
    step.setup(StepContext(3, split))
    made = step.process([each.samples[0] for each in outcomes if isinstance(each, Keep)])
    return tuple(sample for each in made if isinstance(each, Keep) for sample in each.samples)


def judged(step: JudgeStep, *samples: EditSample) -> list[EditSample]:
    outcomes = step.process(samples)
    assert all(isinstance(each, Keep) for each in outcomes), outcomes
    return [each.samples[0] for each in outcomes if isinstance(each, Keep)]


def reason(sample: EditSample, name: str = "following") -> str:
    score = sample.scores[name]
    assert isinstance(score, Unscored), score
    return score.reason


def test_verdicts_become_scores_with_the_judges_version() -> None:
    before = replace(edits()[0], scores={"following": Score(1.0), "clip": Score(0.3)})
    (after,) = judged(judging(PLAIN), before)
    assert after.scores == {
        "clip": Score(0.3),
        "following": Score(4.0, True, "well done", "plain-1"),
        "preserving": Unscored(
            "the judge gave no verdict on this edit", "plain-1", Cause.NO_ANSWER
        ),
    }
    assert replace(after, scores=before.scores) == before


def test_rewards_off_their_scale_are_unscored_or_mapped_by_the_judges_scales() -> None:
    odd: dict[str, Any] = {"kind": "judging_parts:Unbounded"}
    (unscored,) = judged(judging(odd), edits()[0])
    assert reason(unscored) == "out of range: -2 is not in 0..5"
    assert reason(unscored, "preserving") == "out of range: 9 is not in 0..5"
    (mapped,) = judged(judging({**odd, "declared": True}), edits()[0])
    assert mapped.scores["following"] == Score(1.25, False, "odd", "unbounded-1")
    assert mapped.scores["preserving"] == Score(4.5, version="unbounded-1")
    (other,) = judged(judging(odd, prefix="raw_"), edits()[0])
    assert other.scores["raw_following"] == Score(-2.0, False, "odd", "unbounded-1")


def test_a_prefix_keeps_the_scores_that_there_are() -> None:
    (after,) = judged(judging(PLAIN, prefix="plain_"), edits()[0])
    assert set(after.scores) == {*PERSPECTIVES, "plain_following", "plain_preserving"}
    assert [after.scores[name] for name in PERSPECTIVES] == [
        edits()[0].scores[name] for name in PERSPECTIVES
    ]


def test_a_sample_without_a_target_is_kept_and_the_judge_not_asked() -> None:
    Plain.asked.clear()
    whole = edits()[0]
    first, second = judged(judging(PLAIN), replace(whole, target=None), whole)
    assert reason(first) == "the sample has no target"
    assert isinstance(second.scores["following"], Score)
    assert [len(batch) for batch in Plain.asked] == [1]


def test_a_picture_that_cannot_be_read_is_kept_unscored() -> None:
    broken = replace(edits()[0], target=Image(b"no picture"))
    (after,) = judged(judging(PLAIN), broken)
    assert reason(after).startswith("a picture cannot be read")


def test_the_judge_sees_the_target_as_the_edit_and_the_known_truth() -> None:
    Plain.asked.clear()
    faulty = next(s for s in edits() if replay(s.provenance).target.tobytes() != pixels(s))
    judged(judging(PLAIN), faulty)
    ((pair,),) = Plain.asked
    assert pair.edited.tobytes() == pixels(faulty)
    assert np.array_equal(pair.target, replay(faulty.provenance).target)
    assert np.array_equal(pair.mask, decode_mask(faulty.mask.bytes))
    assert (pair.instruction, pair.edit_type) == (faulty.instruction, faulty.edit_type)
    assert pair.captions.target == faulty.target_caption


def pixels(sample: EditSample) -> bytes:
    assert sample.target is not None
    return decode(sample.target.bytes).tobytes()


def test_the_truth_judge_sees_the_faults_of_darkroom_data() -> None:
    samples = edits()
    after = judged(judging("truth"), *samples)
    pairs = [
        EditedPair(
            each.id,
            decode(each.source.bytes),
            each.instruction,
            decode(each.target.bytes),
            replay(each.provenance).target,
            decode_mask(each.mask.bytes),
        )
        for each in samples
    ]
    assert [each.scores for each in after] == TruthJudge().judge(pairs)
    lowest = min(each.scores["following"].value for each in after)
    assert lowest < 1  # a recorded fault


def test_the_truth_judge_finds_no_fault_in_clean_data() -> None:
    for sample in judged(judging("truth"), *edits("heldout")):
        assert all(sample.scores[name].value > 4.5 for name in PERSPECTIVES)


def test_without_a_known_truth_the_truth_judge_says_why() -> None:
    plain = replace(edits()[0], provenance=None)
    (after,) = judged(judging("truth"), plain)
    assert reason(after) == "no true target is known: the darkroom did not make this sample"
    assert set(after.scores) == set(PERSPECTIVES)


def test_a_record_whose_photo_is_gone_leaves_the_sample_unscored(tmp_path: Path) -> None:
    made = edits()[0].provenance
    assert made is not None
    gone = replace(made, source_uri=(tmp_path / "gone.png").as_uri())
    (after,) = judged(judging("truth"), replace(edits()[0], provenance=gone))
    assert reason(after).startswith("the true target cannot be rendered: ")


def test_a_record_of_another_picture_is_no_truth() -> None:
    other = replace(edits()[0], source=Image(encode_png(np.zeros((48, 48, 3), np.uint8))))
    assert sample_pair(other).unknown.endswith("the record is of another source")


def test_a_judge_that_needs_no_truth_judges_without_it() -> None:
    (after,) = judged(judging("metric"), replace(edits()[0], provenance=None))
    assert isinstance(after.scores["preserving"], Score)


def test_what_may_yet_be_said_waits_in_quarantine(tmp_path: Path) -> None:
    (tmp_path / "mood").write_text(f"busy {edits()[1].id}")
    step = judging({"kind": "judging_parts:Moody", "target": str(tmp_path)})
    first, second = step.process(edits()[:2])
    assert isinstance(first, Keep)
    assert isinstance(second, Fail)
    assert (second.code, second.failure) == ("no-verdict-yet", FailureClass.TRANSIENT)
    assert second.message == "quality: the server is busy"


def test_lost_verdicts_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "mood").write_text(f"short {edits()[1].id}")
    step = judging({"kind": "judging_parts:Moody", "target": str(tmp_path)})
    with pytest.raises(StepError, match="moody gave 1 verdicts on 2 pairs"):
        step.process(edits()[:2])


def test_large_batches_are_judged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = judged(judging(PLAIN), *edits())
    Plain.asked.clear()
    monkeypatch.setattr(module, "_BYTES", 4 * 48 * 48 * 3)
    assert judged(judging(PLAIN), *edits()) == whole
    assert max(len(batch) for batch in Plain.asked) == 2


@pytest.mark.parametrize(
    ("judge", "resources"),
    [
        ("truth", CPU),
        (ASKING, NETWORK),
        ({"kind": "panel", "judges": ["truth", ASKING]}, NETWORK),
        ({"kind": "panel", "judges": "truth,metric"}, CPU),
    ],
)
def test_only_who_asks_a_server_needs_the_network(judge: Any, resources: Resources) -> None:
    assert judging(judge).resources == resources


@pytest.mark.parametrize("seat", [False, True])
def test_judges_of_a_run_share_its_budget_in_all_processes(tmp_path: Path, seat: bool) -> None:
    judge = {"kind": "panel", "judges": [ASKING]} if seat else ASKING
    ServerJudge.made.clear()
    for place in (tmp_path / "run", tmp_path / "run", tmp_path / "other"):
        judging(judge).setup(StepContext(0, "train", place))
    runs = [made.run for made in ServerJudge.made if made.run]
    assert len(runs) == 3
    assert runs[0] == runs[1] != runs[2]


def test_only_what_can_change_a_verdict_is_in_the_fingerprint() -> None:
    here = judging({**ASKING, "concurrency": 2}).parameters
    assert here == judging({**ASKING, "concurrency": 9}).parameters
    assert here != judging(PLAIN).parameters
    assert judging(PLAIN).parameters != judging(PLAIN, prefix="a_").parameters
