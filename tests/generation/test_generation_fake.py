"""The fake server's answers from the darkroom's truth, read by every step that they are for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from editloop.chat.fake.faults import Fault, at_random
from editloop.chat.fake.pictures import PictureRequest
from editloop.chat.fake.server import FakeServer
from editloop.editors.edit import edit
from editloop.editors.fake import picture_answers
from editloop.generation.fake import text_answers
from editloop.images.codec import decode
from editloop.kernel.build import Options, build
from editloop.kernel.steps import Fail, Keep
from editloop.kernel.tasks import StepSpec
from editloop.schema import EditType
from editloop.storage.samples import read_samples
from text_worlds import grey, outcomes, sample

COUNTED = {kind: {"count": 1} for kind in ("instruct-from-picture", "instruct-from-captions")}


def test_every_step_ends_with_the_darkrooms_truth(tmp_path: Path) -> None:
    photos = StepSpec("source", "photos", "photos", {"size": 64, "train": 6, "heldout": 0})
    darkroom = StepSpec("build", "darkroom", "darkroom", {})
    options = Options(workers=0)
    build([photos], [darkroom], out=tmp_path / "truth", options=options)
    truth = {each.id: each for each in read_samples(tmp_path / "truth" / "data", "train")}
    with FakeServer(text_answers(truth.values())) as server:
        chat = {"target": "fake", "base_url": server.base_url, "ledger": str(tmp_path / "l.db")}
        kinds = ("edit-type", "rewrite", "inverse", "recaption", "backward-check")
        steps = [
            darkroom,
            *(StepSpec("build", kind, kind, {**chat, "re_asks": 0}) for kind in kinds),
        ]
        report = build([photos], steps, out=tmp_path / "told", options=options)
    assert report.counts["out"] == len(truth)
    for each in read_samples(tmp_path / "told" / "data", "train"):
        known = truth[each.id]
        for name in ("instruction", "inverse_instruction", "source_caption", "target_caption"):
            assert getattr(each, name) == getattr(known, name)


@pytest.mark.slow
def test_it_proposes_the_known_edits_and_declines_where_it_knows_none(tmp_path: Path) -> None:
    known = sample(edit_type=EditType.LOCAL)
    for kind in ("instruct-from-picture", "instruct-from-captions", "rewrite"):
        found, _ = outcomes(tmp_path, kind, [known], text_answers([known]), **COUNTED.get(kind, {}))
        assert isinstance(found[0], Keep)
        assert found[0].samples[0].instruction == known.instruction
    other = sample("b", source=grey(99), source_caption="an unknown place at sea")
    for kind in ("instruct-from-captions", "rewrite"):
        found, _ = outcomes(tmp_path, kind, [other], text_answers([known]), **COUNTED.get(kind, {}))
        assert isinstance(found[0], Fail)
        assert found[0].code == "refused"


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_photos_become_edits_offline_and_every_one_is_accounted_for(
    tmp_path: Path, workers: int
) -> None:
    """A vision model and an image editor, both fakes, the editor with faults."""
    faults = (Fault.FILTERED, Fault.UNCHANGED, Fault.CROPPED)
    schedule = at_random(0.5, 3, faults, in_a_row=1)
    photos = StepSpec("source", "photos", "photos", {"size": 64, "train": 5, "heldout": 0})
    with FakeServer(
        text_answers([]),
        pictures=picture_answers(),
        faults=lambda asked: schedule(asked) if isinstance(asked, PictureRequest) else None,
    ) as server:
        own = {"target": "fake", "base_url": server.base_url, "ledger": str(tmp_path / "l.db")}
        editor = {**own, "kind": "images", "size": "source", "attempts": 1}
        steps = [
            StepSpec("build", "ask", "instruct-from-picture", {**own, "count": 3}),
            StepSpec("build", "edit", "edit", {"editor": editor}),
        ]
        options = Options(workers=workers)
        report = build([photos], steps, out=tmp_path / "out", options=options)
        seen = server.seen
        assert seen.requests == 5 + 15
    made = list(read_samples(tmp_path / "out" / "data", "train"))
    assert len(made) == report.counts["out"] == 15 - sum(seen.faults.values()) > 0
    assert len(seen.faults) == len(faults)
    assert report.counts["by_step"]["dropped"]["edit"] == {
        "the editor changed nothing": seen.faults["unchanged"]
    }
    assert report.counts["quarantined"] == seen.faults["filtered"] + seen.faults["another-shape"]
    for each in made:
        assert each.source is not None
        assert each.target is not None
        true = edit(decode(each.source.bytes), each.instruction)[0]
        assert np.array_equal(decode(each.target.bytes), true)
