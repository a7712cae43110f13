"""Odd replies to every step that writes texts: what is asked for is accounted for one to one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from editloop.chat.prompts import fenced
from editloop.errors import RecipeError
from editloop.generation.prompts import read_text_prompt, text_prompt_names
from editloop.kernel.steps import Drop, Fail, Keep
from editloop.schema import EditSample, EditType
from text_worlds import grey, outcomes, reasons, sample

CAPTIONS = {
    "source_long": "a grey cat lies on a sofa",
    "source_short": "a cat; a sofa, | and ## END",
    "target_long": "a brown dog lies on a sofa",
    "target_short": "a dog; a sofa, | and ## END",
    "target_local": "a brown dog",
}
ONE = {  # kind -> a usable reply, and the fields that it sets
    "rewrite": (
        {"instruction": "turn the cat into a dog"},
        {"instruction": "turn the cat into a dog"},
    ),
    "inverse": (
        {"instruction": "turn the dog into a cat"},
        {"inverse_instruction": "turn the dog into a cat"},
    ),
    "recaption": (CAPTIONS, {"source_caption": CAPTIONS["source_short"]}),
    "backward-check": ({"why": "it does", "leads_back": "Yes"}, {}),
    "edit-type": ({"type": "Local", "ultra_edit": "turn"}, {"edit_type": EditType.LOCAL}),
}
EDIT = {"instruction": "hang a lamp over the sofa", "output": "a cat on a sofa under a lamp"}
PROPOSED = {
    "type": "add",
    "instruction": EDIT["instruction"],
    "before": "a cat on a sofa",
    "after": EDIT["output"],
}
MANY = {"instruct-from-captions": EDIT, "instruct-from-picture": PROPOSED}


def one(folder: Path, kind: str, reply: Any, **settings: Any) -> EditSample | Drop | Fail:
    (outcome,), _ = outcomes(folder, kind, [sample()], [reply], **settings)
    return outcome.samples[0] if isinstance(outcome, Keep) else outcome


@pytest.mark.slow
@pytest.mark.parametrize("kind", ONE)
def test_a_usable_reply_is_read_bare_fenced_or_after_thoughts(tmp_path: Path, kind: str) -> None:
    reply, fields = ONE[kind]
    text = json.dumps(reply)
    forms = [text, f"Here it is:\n```json\n{text}\n```\nDone.", f"<think>{{}}</think>{text}"]
    for number, form in enumerate(forms):
        made = one(tmp_path / str(number), kind, form)
        assert isinstance(made, EditSample), made
        assert {name: getattr(made, name) for name in fields} == fields


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*ONE, *MANY])
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ({}, "unparseable"),
        ({"instruction": 5, "edits": [5]}, "unparseable"),
        ({"instruction": "<instruction>", "edits": [{"instruction": "..."}]}, "unparseable"),
        ("I'm sorry, but I can't help with that.", "refused"),
        ('{"instruction": "make it red", "instruction": "make it blue"}', "unparseable"),
        ("make the cat a dog", "unparseable"),
    ],
)
def test_an_unusable_reply_is_quarantined_with_its_cause(
    tmp_path: Path, kind: str, reply: Any, code: str
) -> None:
    made = one(tmp_path, kind, reply)
    assert isinstance(made, Fail)
    assert (made.code, bool(made.reply_key)) == (code, True)


def test_what_is_wrong_is_told_to_the_model_once_more(tmp_path: Path) -> None:
    replies = [{"instruction": "make the cat a dog."}, {"instruction": "make the dog a cat"}]
    (made,), asked = outcomes(tmp_path, "inverse", [sample()], replies, re_asks=1)
    assert isinstance(made, Keep)
    assert "repeats the instruction" in asked[1]


def test_former_texts_stay_in_the_provenance(tmp_path: Path) -> None:
    made = one(tmp_path, "rewrite", ONE["rewrite"][0])
    assert isinstance(made, EditSample)
    assert made.provenance is not None
    assert made.provenance.parameters["instruction_before"] == "make the cat a dog"
    made = one(tmp_path, "recaption", CAPTIONS, length="long")
    assert isinstance(made, EditSample)
    assert made.provenance is not None
    assert made.provenance.parameters["captions"] == CAPTIONS
    assert made.target_caption == CAPTIONS["target_long"]


def test_equal_captions_of_different_pictures_are_no_captions(tmp_path: Path) -> None:
    same = {**CAPTIONS, "target_short": CAPTIONS["source_short"].upper()}
    assert isinstance(one(tmp_path, "recaption", same), Fail)


def test_an_inverse_that_does_not_lead_back_is_dropped(tmp_path: Path) -> None:
    made = one(tmp_path, "backward-check", {"why": "a dog stays", "leads_back": False})
    assert made == Drop("the inverse edit does not restore the source")


@pytest.mark.parametrize("kind", MANY)
def test_every_instance_is_a_sample_or_an_attempt_with_its_reason(
    tmp_path: Path, kind: str
) -> None:
    good = MANY[kind]
    after = "output" if kind == "instruct-from-captions" else "after"
    other = {**good, "instruction": "put a; rug | under the sofa", after: "a cat; a sofa on a rug"}
    again = {**good, "instruction": good["instruction"].upper() + "!"}
    lacking = {key: value for key, value in good.items() if key != after}
    same = {**good, after: "A cat on a sofa."}
    reply = {"edits": [good, again, lacking, same, other, other, good]}
    (outcome,), _ = outcomes(tmp_path, kind, [sample()], [reply], count=5)
    assert isinstance(outcome, Keep)
    assert [each.id for each in outcome.samples] == ["a/1", "a/5"]
    assert [each.target_caption for each in outcome.samples] == [EDIT["output"], other[after]]
    assert reasons(outcome) == [
        "its instruction is repeated",
        f"it has no {after!r}",
        "its captions are the same",
        "more than the 5 that were asked for",
        "more than the 5 that were asked for",
    ]
    (outcome,), _ = outcomes(tmp_path / "few", kind, [sample()], [json.dumps(good) + "\n"], count=3)
    assert reasons(outcome) == ["it is missing", "it is missing"]


def test_a_photo_without_a_fitting_type_is_dropped_and_unfit_edits_are_rejected(
    tmp_path: Path,
) -> None:
    kind = "instruct-from-picture"
    made = one(tmp_path / "none", kind, {"unfit": ["add"], "edits": []}, types=["add"])
    assert made == Drop("the picture allows no edit of these types")
    style = {**PROPOSED, "type": "style", "instruction": "make it a mosaic"}
    reply = {"unfit": ["Style"], "edits": [PROPOSED, style, {**style, "type": "remove"}]}
    (outcome,), asked = outcomes(
        tmp_path, kind, [sample()], [reply], count=3, types=["add", "style"]
    )
    assert reasons(outcome) == [
        "the picture does not allow its type",
        "its 'type' is none of add, style",
    ]
    assert isinstance(outcome, Keep)
    assert outcome.samples[0].edit_type == "add"
    assert "Propose 3 different edits" in asked[0]
    assert "add, style" in asked[0]


def test_a_caption_that_is_rewritten_is_no_edit_and_lengths_hold(tmp_path: Path) -> None:
    kind = "instruct-from-captions"
    changed = {"instruction": "paint a ship", "output": "two ships at war off a foreign coast"}
    reply = {"edits": [EDIT, changed, {**EDIT, "instruction": "more", "output": "cat " * 61}]}
    (outcome, short), asked = outcomes(
        tmp_path, kind, [sample(), sample("b", source_caption="a cat")], [reply]
    )
    assert reasons(outcome) == [
        "its caption changes more than the edit",
        "its 'instruction' has not 2 to 60 words",
    ]
    assert short == Drop("its caption has not 4 to 60 words")
    assert len(asked) == 1


def test_the_pool_that_a_caption_sees_depends_on_its_id_alone(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    rows = [{"input": f"cat {n}", "edit": f"<b>edit {n}", "output": f"dog {n}"} for n in range(20)]
    pool.write_text("\n".join(map(json.dumps, rows)))
    kind, seen = "instruct-from-captions", []
    samples = [sample("a"), sample("b", source_caption="a cat on a rug")]
    for order in (samples, samples[::-1]):
        _, asked = outcomes(
            tmp_path / str(len(seen)), kind, order, [{"edits": [EDIT]}],
            pool=str(pool), instructions=4, examples=2,
        )  # fmt: skip
        seen.append(sorted(asked))
        assert asked[0].count('"\\u003cb\\u003eedit') == 6
    assert seen[0] == seen[1]
    assert fenced("a cat on a sofa") in "".join(seen[0])


def test_rules_type_plain_instructions_and_the_model_the_rest(tmp_path: Path) -> None:
    plain = [sample("a", instruction="Remove the lamp."), sample("b", instruction="tidy up")]
    reply = {"type": "global", "ultra_edit": "others"}
    found, asked = outcomes(tmp_path, "edit-type", plain, [reply])
    made = [each.samples[0] for each in found if isinstance(each, Keep)]
    assert [each.edit_type for each in made] == [EditType.REMOVE, EditType.GLOBAL]
    assert [each.provenance.parameters["typed_by"] for each in made if each.provenance] == [
        "rules",
        "model",
    ]
    assert len(asked) == 1
    wrong = one(tmp_path, "edit-type", {"type": "recolour", "ultra_edit": "add"})
    assert isinstance(wrong, Fail)


def test_a_users_prompt_takes_the_place_of_the_packages(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "{name: own, version: 1, title: t, source: me, prompt: 'Better: {instruction} {source}'}"
    )
    text_first = sample(target=None)
    (made,), asked = outcomes(
        tmp_path, "rewrite", [text_first], [ONE["rewrite"][0]], prompt=str(own)
    )
    assert isinstance(made, Keep)
    assert asked[0].startswith("Better:")
    own.write_text("{name: own, version: 1, title: t, source: me, prompt: '{instructoin}'}")
    with pytest.raises(RecipeError, match="unknown placeholder"):
        outcomes(tmp_path, "rewrite", [text_first], [""], prompt=str(own))


def test_the_packages_prompts_are_valid_and_fence_what_others_wrote() -> None:
    for name in text_prompt_names():
        prompt = read_text_prompt(name)
        assert (prompt.name, prompt.fenced) == (name, True)
    assert grey(1) != grey(2)
