"""The judge `truth`: unscored if the target or the mask is missing."""

import numpy as np

from editloop.darkroom import truth
from editloop.images.masks import NOWHERE
from editloop.judges.truth import TruthJudge
from editloop.schema import Cause, EditedPair, Pixels, Unscored
from editloop.sources.scenes import photo


def pair(**changes: object) -> EditedPair:
    source: Pixels = photo("astronaut")[40:104, 180:244].copy()
    target = source.copy()
    target[16:48, 16:48] = (255, 40, 40)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    fields = {"source": source, "edited": target, "target": target, "mask": mask, **changes}
    return EditedPair(id="a", instruction="", **fields)  # type: ignore[arg-type]


def test_it_says_what_the_darkrooms_judge_says() -> None:
    pairs = [pair(), pair(edited=pair().source)]
    assert TruthJudge().judge(pairs) == truth.KnownTruthJudge().judge(pairs)


def test_pairs_without_mask_or_target_are_unscored_in_their_places() -> None:
    whole, maskless, targetless = TruthJudge().judge(
        [pair(), pair(mask=None), pair(mask=None, target=None)]
    )
    assert whole == TruthJudge().judge([pair()])[0]
    assert set(maskless.values()) == {Unscored("no mask", truth.VERSION, Cause.MISSING_INPUT)}
    assert set(targetless.values()) == {Unscored("no target", truth.VERSION, Cause.MISSING_INPUT)}


def test_with_a_black_mask_there_is_no_edit_to_judge() -> None:
    (verdict,) = TruthJudge().judge([pair(mask=np.zeros((64, 64), np.uint8))])
    assert set(verdict.values()) == {Unscored(NOWHERE, truth.VERSION, Cause.NOT_MEASURABLE)}


def test_a_pair_with_a_mask_and_no_target_is_unscored() -> None:
    (verdict,) = TruthJudge().judge([pair(target=None)])
    assert set(verdict.values()) == {Unscored("no target", truth.VERSION, Cause.MISSING_INPUT)}
