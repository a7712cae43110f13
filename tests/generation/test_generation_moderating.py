"""Moderation by a list and by a model: what is flagged is dropped, and what ran is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from editloop.chat.fake.faults import Fault, in_order
from editloop.chat.fake.server import FakeServer
from editloop.errors import FailureClass, RecipeError
from editloop.generation.fake_server import flags
from editloop.kernel.resources import NETWORK
from editloop.kernel.steps import Drop, Fail, Keep, Outcome
from editloop.registry import create
from editloop.schema import EditSample
from text_worlds import sample


def test_whole_words_in_any_text_and_case_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("gun\nnaked  man\n")
    step = create("build", "moderate", {"words": str(tmp_path / "words.txt")})
    texts = ["a GUN.", "a gunner, naked; man", "a Naked\tMan there"]
    rows = [sample(str(at), source_caption=text) for at, text in enumerate(texts)]
    found = step.process([*rows, sample("x", inverse_instruction="hide the gun")])
    dropped = [each.reason for each in found if isinstance(each, Drop)]
    assert dropped == [
        "its source_caption has a word of the list",
        "its source_caption has a word of the list",
        "its inverse_instruction has a word of the list",
    ]
    (kept,) = (each.samples[0] for each in found if isinstance(each, Keep))
    assert kept.provenance is not None
    assert kept.provenance.parameters["moderated_by"] == step.parameters["words"]


def test_an_empty_list_moderates_nothing_and_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n")
    with pytest.raises(RecipeError, match="a list of words is empty"):
        create("build", "moderate", {"words": str(tmp_path / "words.txt")})


def moderated(folder: Path, *faults: Fault | None, **settings: Any) -> tuple[list[Outcome], int]:
    """Return the outcomes of three samples, and the requests that the server got."""
    rows = [
        sample("a", source_caption="a man with a gun"),
        sample("b"),
        EditSample("c", source=None),
    ]
    with FakeServer(flags=flags, faults=in_order(*faults)) as server:
        own = {"target": "guard", "base_url": server.base_url, "ledger": str(folder / "l.db")}
        step = create(
            "build", "moderate", {"server": {**own, "attempts": 1, "concurrency": 1}, **settings}
        )
        assert step.resources == NETWORK
        found = step.process(rows)
        step.close()
        return found, server.seen.requests


def test_a_moderation_model_flags_texts_and_is_asked_once(tmp_path: Path) -> None:
    (flagged, kept, empty), requests = moderated(tmp_path)
    assert flagged == Drop("its source_caption is flagged: violence")
    assert isinstance(kept, Keep)
    assert kept.samples[0].provenance.parameters["moderated_by"].startswith("guard-")
    assert isinstance(empty, Keep)  # it has no text
    assert requests == 2


def test_what_the_list_flags_is_not_sent_to_the_model(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("gun\n")
    (flagged, kept, _), requests = moderated(tmp_path, words=str(tmp_path / "words.txt"))
    assert flagged == Drop("its source_caption has a word of the list")
    assert isinstance(kept, Keep)
    told = kept.samples[0].provenance.parameters["moderated_by"]
    assert [each.split("-")[0] for each in told.split()] == ["words", "guard"]
    assert requests == 1


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.NOT_JSON])
def test_a_sample_without_a_verdict_is_quarantined_not_kept(tmp_path: Path, fault: Fault) -> None:
    (failed, kept, _), _ = moderated(tmp_path, fault)
    assert isinstance(failed, Fail)
    assert failed.failure is FailureClass.TRANSIENT
    assert isinstance(kept, Keep)


def test_without_a_list_and_a_model_nothing_would_be_moderated() -> None:
    with pytest.raises(RecipeError, match="name `words`"):
        create("build", "moderate", {})
