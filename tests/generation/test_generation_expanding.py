"""Expanding seeds: every entry of every reply is accounted for, whatever the order and the odds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from editloop.chat.fake.faults import Fault
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.errors import RecipeError
from editloop.generation.triplets import read_triplets
from editloop.kernel.build import Options, build
from editloop.kernel.steps import Fail, Keep, Outcome
from editloop.kernel.tasks import StepSpec
from editloop.schema import EditSample
from editloop.sources.hashes import hash_samples, write_hashes
from editloop.storage.samples import read_attempts, read_samples
from text_worlds import grey, outcomes, sample

NOUNS = [
    *("otter", "kettle", "ladder", "comet", "violin", "barn"),
    *("glove", "lantern", "puffin", "abbey", "walrus", "tractor"),
]
SEEDS = [
    EditSample(
        f"seed/{at}",
        None,
        each.edit,
        source_caption=each.input,
        target_caption=each.output,
        inverse_instruction=each.inverse,
    )
    for at, each in enumerate(read_triplets(None)[:4])
]


def edit(noun: str, **changed: Any) -> dict[str, Any]:
    texts = {
        "input": f"a plain {noun} there",
        "edit": f"{noun} becomes golden",
        "inverse": f"{noun} loses gold",
        "output": f"a golden {noun} there",
    }
    return {key: value for key, value in {**texts, **changed}.items() if value is not None}


def expand(
    folder: Path, reply: Any, seeds: list[EditSample] | None = None, **settings: Any
) -> tuple[list[Outcome], list[str]]:
    given = {"count": 6, "batch": 3, "examples": 2, **settings}
    return outcomes(folder, "expand", seeds or SEEDS, reply, **given)


def new(found: list[Outcome]) -> dict[str, str]:
    """Return the instructions of the new samples by id; checks that the seeds are kept."""
    assert all(isinstance(each, Keep) for each in found)
    kept = [each.samples for each in found if isinstance(each, Keep)]
    assert [each[0] for each in kept] == SEEDS[: len(kept)]
    return {each.id: each.instruction for group in kept for each in group[1:]}


def rejected(found: list[Outcome]) -> list[str]:
    attempts = [each for one in found if isinstance(one, Keep) for each in one.attempts]
    return sorted(str(each.reason) for each in attempts)


def test_it_asks_until_enough_is_there(tmp_path: Path) -> None:
    replies = [{"edits": [edit(noun) for noun in NOUNS[at : at + 3]]} for at in (0, 3)]
    found, asked = expand(tmp_path, replies)
    assert sorted(new(found).values()) == sorted(f"{noun} becomes golden" for noun in NOUNS[:6])
    assert (len(asked), rejected(found)) == (2, [])
    assert asked[0] != asked[1]
    again, second = expand(tmp_path, replies)
    assert (again == found, second) == (True, [])


def test_odd_entries_are_attempts_with_their_reasons(tmp_path: Path) -> None:
    entries: list[Any] = [
        edit("otter"),
        edit("otter", edit="OTTER becomes golden!"),
        edit("kettle", inverse=None),
        edit("ladder", output="A plain ladder there."),
        edit("comet", edit="..."),
        "golden violin",
        edit("barn", input="a | plain ## barn; there", output="a | golden ## barn; there"),
        edit("seed", edit=SEEDS[0].instruction),
    ]
    last = {"edits": [edit("glove"), edit("lantern")]}
    found, asked = expand(tmp_path, [{"edits": entries}, last], count=3, batch=8)
    assert len(asked) == 2
    accounted = [*new(found), *rejected(found)]
    assert len(accounted) == 16
    assert {*new(found).values()} >= {"barn becomes golden"}
    assert rejected(found) == sorted(
        [
            "it has no 'input'",
            "it has no 'inverse'",
            "its 'edit' is a placeholder, or empty",
            "its captions are the same",
            "it is not new",
            "it is not new",
            "more than the 3 that were asked for",
            *["it is missing"] * 6,
        ]
    )


def test_a_refusal_or_prose_costs_its_question_alone(tmp_path: Path) -> None:
    refusal = "I'm sorry, I can't help with that."
    good = {"edits": [edit(noun) for noun in NOUNS[:3]]}
    found, _ = expand(tmp_path, [refusal, f"Sure!\n```json\n{json.dumps(good)}\n```"], count=3)
    assert len(new(found)) == 3
    assert rejected(found) == ["refused: it declines to answer"]


def test_nothing_new_ends_it(tmp_path: Path) -> None:
    found, asked = expand(tmp_path, [{"edits": [edit("otter")] * 3}], count=3)
    assert (len(new(found)), len(asked)) == (1, 4)
    assert rejected(found) == ["it is not new"] * 11


def test_the_budget_ends_it_and_what_was_paid_is_kept(tmp_path: Path) -> None:
    numbers = iter(range(1000))

    def reply(_: FakeRequest) -> dict[str, Any]:
        names = [f"{NOUNS[next(numbers) % 12]}{next(numbers)} w{next(numbers)}" for _ in range(3)]
        return {"edits": [edit(name) for name in names]}

    prices = {"input_price": 1.0, "output_price": 1000.0, "max_tokens": 300, "budget": 0.9}
    found, asked = expand(tmp_path, reply, count=600, **prices)
    assert 2 <= len(asked) < 30
    assert len(new(found)) == 3 * len(asked)
    assert {*rejected(found)} == {"over-budget: the budget of 0.9 USD has no room for another call"}


def test_a_call_that_fails_for_now_quarantines_all_and_a_retry_pays_once(tmp_path: Path) -> None:
    replies = [{"edits": [edit(noun) for noun in NOUNS[at : at + 3]]} for at in (0, 3)]
    found, asked = expand(tmp_path, replies, faults=[None, Fault.ERROR])
    assert {each.code for each in found if isinstance(each, Fail)} == {"server-error"}
    assert (len(found), len(asked)) == (4, 1)
    found, asked = expand(tmp_path, replies[1:])
    assert (len(new(found)), len(asked)) == (6, 1)


def test_seeds_and_edits_of_a_test_set_are_refused(tmp_path: Path) -> None:
    held = [sample("x", instruction="Otter becomes golden.", source=grey(1))]
    write_hashes(hash_samples("held", held), tmp_path / "held.json")
    lists = [str(tmp_path / "held.json")]
    replies = [{"edits": [edit("otter"), edit("kettle"), edit("ladder")]}]
    found, _ = expand(tmp_path, replies, count=2, against=lists)
    assert sorted(new(found).values()) == ["kettle becomes golden", "ladder becomes golden"]
    assert rejected(found) == ["it is an instruction of the test set held"]
    known = sample("mine", instruction="otter becomes golden", source=None)
    with pytest.raises(RecipeError, match="a seed is an instruction of the test set held"):
        expand(tmp_path, replies, [known], against=lists)


def test_a_build_accounts_for_every_entry(tmp_path: Path) -> None:
    """The seeds of this package, brought together from many shards, with concurrent questions."""

    def answer(request: FakeRequest) -> str:
        at = int(request.digest[:6], 16)
        names = [f"{NOUNS[(at + n) % 12]} {at % 997 + n}" for n in range(5)]
        return json.dumps({"edits": [edit(name) for name in names]})

    with FakeServer(answer) as server:
        chat = {"target": "fake", "base_url": server.base_url, "ledger": str(tmp_path / "l.db")}
        steps = [
            StepSpec("build", "gather", "gather", {}),
            StepSpec("build", "expand", "expand", {**chat, "count": 12, "batch": 5}),
            StepSpec("build", "picture", "kernel_parts:PaintStep", {}),
        ]
        report = build(
            [StepSpec("source", "seeds", "triplets", {})],
            steps,
            out=tmp_path / "out",
            shard_size=16,
            options=Options(workers=0),
        )
    assert report.counts["out"] == len(read_triplets(None)) + 12
    found = list(read_samples(tmp_path / "out" / "data", "train"))
    attempts = list(read_attempts(tmp_path / "out" / "data", "train"))
    assert len({each.instruction for each in found}) == len(found)
    assert (12 + len(attempts)) % 5 == 0
