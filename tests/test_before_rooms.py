"""What the commit before the rooms made still loads, and is not paid for again.

The judge `metric` has another version since then, so that these runs do not resume by themselves.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import editloop
from before_rooms import URL, recipe, unpacked
from editloop.errors import ChangedError
from editloop.judges.judge_data import judge
from editloop.loop import run as loop
from editloop.schema import Cause, EditSample, Unscored, Verdict
from editloop.sources.scenes import photo
from editloop.storage.samples import read_samples
from editloop.storage.verify import verify

pytestmark = pytest.mark.slow


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file but locks, which name the process that held them last."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    paths = (path for path in paths if path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def scores_of(sample: EditSample) -> Verdict:
    """The scores without their version, as before a missing one stated its cause."""
    return {
        name: replace(each, version=None, cause=Cause.UNSTATED)
        if isinstance(each, Unscored)
        else replace(each, version=None)
        for name, each in sample.scores.items()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return unpacked("finished", tmp_path_factory.mktemp("before"))


def test_a_finished_run_is_whole_and_stays_as_it_is(finished, tmp_path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    assert verify(run) == []
    before = files_of(run)
    with pytest.raises(ChangedError, match=r"judge.version: metric-1 -> metric-2"):
        loop.run(recipe(), run, workers=1)
    assert files_of(run) == before


def test_its_samples_are_read(finished) -> None:
    samples = list(read_samples(finished / "data", "train"))
    assert len(samples) == 70
    assert all(sample.target is not None and sample.provenance for sample in samples)
    assert {name for sample in samples for name in sample.scores} == {
        "following",
        "preserving",
        "quality",
    }


def test_its_model_edits(finished) -> None:
    model = finished / "models" / "tiny"
    picture = photo("coffee")[:64, :64]
    (edited,) = editloop.edit(picture, ["make it sepia"], editor=f"diffusion:{model}?reward=5,5,5")
    assert edited.shape == picture.shape


def test_a_build_that_was_killed_goes_on_as_a_new_version(finished, tmp_path) -> None:
    run = unpacked("half-built", tmp_path)
    parts = ("sources", "build", "judge")
    with pytest.raises(ChangedError, match=r"metric-1 -> metric-2"):
        loop.run(recipe(), run, only=parts, workers=1)
    loop.run(recipe(), run, only=parts, workers=1, new_version=True)
    for split in ("train", "heldout"):
        ours, theirs = (list(read_samples(each / "data", split)) for each in (run, finished))
        assert [sample.id for sample in ours] == [sample.id for sample in theirs]
        assert list(map(scores_of, ours)) == list(map(scores_of, theirs))


def test_replies_in_its_ledger_are_not_paid_for_again(finished, tmp_path) -> None:
    judged = unpacked("judged", tmp_path)
    spec = f"vlm:fake?base_url={URL}&timeout=5&ledger={judged / 'ledger.sqlite'}"
    out = tmp_path / "again"
    judge(finished, spec, out, sample=3, seed=0, workers=1)
    ours, theirs = (list(read_samples(each / "data", "train")) for each in (out, judged))
    assert list(map(scores_of, ours)) == list(map(scores_of, theirs))
    assert all(sample.scores for sample in ours)
