"""The fake server's answers from the darkroom's truth, read by every step that they are for."""

from __future__ import annotations

from pathlib import Path

from editloop.chat.fake.server import FakeServer
from editloop.generation.fake import text_answers
from editloop.kernel.build import Options, build
from editloop.kernel.steps import Fail, Keep
from editloop.kernel.tasks import StepSpec
from editloop.schema import EditType
from editloop.storage.samples import read_samples
from text_worlds import grey, outcomes, sample


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


def test_it_proposes_the_known_edits_and_declines_where_it_knows_none(tmp_path: Path) -> None:
    known = sample(edit_type=EditType.LOCAL)
    for kind in ("instruct-from-picture", "instruct-from-captions"):
        samples = [known, sample("b", source=grey(99), source_caption="an unknown place at sea")]
        found, _ = outcomes(tmp_path, kind, samples, text_answers([known]), count=1)
        assert isinstance(found[0], Keep)
        assert found[0].samples[0].instruction == known.instruction
        assert isinstance(found[1], Fail)
        assert found[1].code == "refused"
