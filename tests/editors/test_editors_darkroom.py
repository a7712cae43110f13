"""The editors `darkroom` and `copy`: replayed records, parsed instructions, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from editloop.darkroom.looks import LOOKS
from editloop.darkroom.props import Prop, body, draw
from editloop.images.codec import decode
from editloop.images.masks import NOWHERE
from editloop.kernel.steps import Keep, StepContext
from editloop.registry import create, parse_spec
from editloop.schema import EditRequest, EditSample, Json, Mask, Pixels, Provenance, Unedited
from editloop.sources.scenes import photo

_EDITOR = parse_spec("darkroom", "editor").create("editor")


def _edit(
    instruction: str,
    picture: Pixels | None = None,
    mask: Mask | None = None,
    *,
    seed: int = 0,
    provenance: Provenance | None = None,
) -> Pixels | Unedited:
    image = photo("coffee")[:120, :160] if picture is None else picture
    request = EditRequest(
        id="x", image=image, instruction=instruction, mask=mask, seed=seed, provenance=provenance
    )
    answer: Pixels | Unedited = _EDITOR.edit([request])[0]
    return answer


def _done(answer: Pixels | Unedited) -> Pixels:
    assert not isinstance(answer, Unedited), answer
    return answer


def _reason(answer: Pixels | Unedited) -> str:
    assert isinstance(answer, Unedited)
    return answer.reason


def _with_ball() -> tuple[Pixels, Mask]:
    """A photo with a red ball on it, and the ball's mask."""
    picture = photo("coffee")[:120, :160].copy()
    ball = Prop("ball", "red", 0.3, 0.5, 0.4)
    return draw(picture, ball), np.where(body(picture.shape, ball), 255, 0).astype(np.uint8)


def test_copy_answers_with_the_picture() -> None:
    editor = create("editor", "copy", {})
    picture = np.zeros((4, 4, 3), np.uint8)
    answers = editor.edit([EditRequest(id="x", image=picture, instruction="make it red")])
    assert np.array_equal(answers[0], picture)


def _samples(settings: Mapping[str, Json]) -> list[EditSample]:
    source = create("source", "photos", {"size": 48, "train": 0, "heldout": 4})
    photos = [out.samples[0] for out in source.load(list(source.items())) if isinstance(out, Keep)]
    step = create("build", "darkroom", settings)
    step.setup(StepContext(seed=1, split="heldout"))
    return [s for out in step.process(photos) if isinstance(out, Keep) for s in out.samples]


def test_a_record_is_answered_with_its_truth() -> None:
    for sample in _samples({"session_share": {"heldout": 1.0}}):
        assert sample.target is not None
        image = decode(sample.source.bytes)
        answer = _done(_edit(sample.instruction, image, provenance=sample.provenance))
        assert np.array_equal(answer, decode(sample.target.bytes))


def test_a_record_of_another_size_is_not_answered() -> None:
    record = _samples({})[0].provenance
    reason = _reason(_edit("x", np.zeros((64, 64, 3), np.uint8), provenance=record))
    assert "another shape" in reason


def test_a_photo_is_edited_at_its_own_size() -> None:
    large = np.repeat(np.repeat(photo("rocket"), 3, axis=0), 3, axis=1)
    assert _done(_edit("make it night", large)).shape == large.shape


def test_an_unknown_instruction_is_refused_with_what_is_possible() -> None:
    reason = _reason(_edit("make the man smile"))
    assert "does not understand" in reason
    assert "for example" in reason


def _refusals() -> list[str]:
    text = (Path(__file__).parents[1] / "darkroom" / "refusals.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("instruction", _refusals())
def test_what_it_cannot_do_is_refused(instruction: str) -> None:
    assert _reason(_edit(instruction))


@pytest.mark.parametrize(
    "instruction",
    ["remove the spoon", "make the saucer blue", "blur the background", "put a hat on the man"],
)
def test_without_a_mask_a_local_edit_is_refused(instruction: str) -> None:
    assert "give a mask" in _reason(_edit(instruction))


@pytest.mark.slow
@pytest.mark.parametrize(
    "instruction",
    [
        "make it green",
        "make the ball yellow",
        "turn the ball into brick",
        "give the ball stripes",
        "remove the ball",
        "make the ball smaller",
        "replace the ball with a blue box",
        "add a yellow duck",
        "blur the ball",
        "make the ball brighter",
        "turn it into an oil painting",
        "replace the background with a starry night sky",
        "make the background black and white",
        "make it snow",
    ],
)
def test_with_a_mask_only_the_inside_changes(instruction: str) -> None:
    picture, mask = _with_ball()
    edited = _done(_edit(instruction, picture, mask))
    assert np.array_equal(edited[mask == 0], picture[mask == 0])
    assert np.abs(edited[mask > 0].astype(int) - picture[mask > 0]).mean() > 4


@pytest.mark.parametrize(("colour", "channel"), [("red", 0), ("green", 1), ("blue", 2)])
def test_a_region_takes_the_colour(colour: str, channel: int) -> None:
    _, mask = _with_ball()
    edited = _done(_edit(f"make the cup {colour}", mask=mask))
    mean = edited[mask > 0].mean(axis=0)
    assert mean.argmax() == channel


def test_a_removed_ball_leaves_what_is_around_it() -> None:
    picture, mask = _with_ball()
    clean = photo("coffee")[:120, :160]
    filled = _done(_edit("remove the ball", picture, mask))
    error = np.abs(filled[mask > 0].astype(int) - clean[mask > 0]).mean()
    assert error < 0.7 * np.abs(picture[mask > 0].astype(int) - clean[mask > 0]).mean()


@pytest.mark.parametrize("instruction", ["make the ball bigger", "move the ball to the left"])
def test_what_needs_pixels_outside_the_mask_is_refused(instruction: str) -> None:
    assert "outside its mask" in _reason(_edit(instruction, *_with_ball()))


def test_a_white_mask_means_everywhere_and_a_black_one_nowhere() -> None:
    black, white = (np.full((120, 160), level, np.uint8) for level in (0, 255))
    assert np.array_equal(_done(_edit("make it sepia", mask=white)), _done(_edit("make it sepia")))
    assert _reason(_edit("make it sepia", mask=black)) == NOWHERE


def test_a_prop_is_added_where_the_words_say() -> None:
    picture = photo("coffee")[:120, :160]
    for side, half in (("left", slice(0, 80)), ("right", slice(80, 160))):
        edited = _done(_edit(f"add a blue ball on the {side}", picture))
        change = np.abs(edited.astype(int) - picture).sum(axis=(0, 2))
        assert change[half].sum() > 0.7 * change.sum()


def test_a_prop_is_fitted_to_a_mask() -> None:
    mask = np.zeros((120, 160), np.uint8)
    mask[20:60, 90:130] = 255
    edited = _done(_edit("put a blue ball on the saucer", mask=mask))
    assert edited[40, 110, 2] > edited[40, 110, 0] + 60


def test_an_instructions_own_prop_can_be_edited_without_a_mask() -> None:
    plain = _done(_edit("add a red ball"))
    recoloured = _done(_edit("add a red ball and paint it blue"))
    changed = (plain != recoloured).any(axis=-1)
    assert recoloured[changed][:, 2].mean() > plain[changed][:, 2].mean() + 40
    assert not isinstance(_edit("add a red ball, then blur the background"), Unedited)


def test_several_clauses_are_all_done() -> None:
    edited = _done(_edit("make it black and white and add a red ball"))
    grey = (edited.max(axis=-1) == edited.min(axis=-1)).mean()
    assert 0.6 < grey < 0.99


def test_the_seed_places_what_the_words_leave_open() -> None:
    first, again = _done(_edit("add a red ball", seed=1)), _done(_edit("add a red ball", seed=1))
    other = _done(_edit("add a red ball", seed=2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_look_in_words_is_the_look_of_the_table() -> None:
    picture = photo("coffee")[:120, :160]
    assert np.array_equal(_done(_edit("sepia, please", picture)), LOOKS["sepia"](picture, {}))


def test_a_tiny_picture_is_refused() -> None:
    assert "below 32 pixels" in _reason(_edit("make it sepia", np.zeros((31, 64, 3), np.uint8)))


def test_answers_keep_the_order_of_requests() -> None:
    picture = photo("coffee")[:64, :64]
    words = ("sepia", "make the man smile", "make it night")
    requests = [EditRequest(id=text, image=picture, instruction=text) for text in words]
    answers = _EDITOR.edit(requests)
    assert [isinstance(answer, Unedited) for answer in answers] == [False, True, False]
