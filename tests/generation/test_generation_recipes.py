"""The shipped recipes of edit data, offline: a fake plays all models, and fails as real ones do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import editloop
from editloop.chat.fake.server import FakeServer
from editloop.generation.fake_server import serve
from editloop.images.codec import decode
from editloop.loop.recipe import Recipe, read_recipe
from editloop.schema import EditSample
from editloop.storage.samples import read_attempts, read_samples

SERVERS = {
    "instruct-from-photos-small": (
        "instruct-from-picture.base_url",
        "retry.steps.revise.base_url",
        "retry.steps.edit.editor.base_url",
        "retry.steps.verify.judge.base_url",
    ),
    "re-edit-small": (
        "rewrite.base_url",
        "retry.steps.edit.editor.base_url",
        "retry.steps.verify.judge.base_url",
    ),
}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `known-edits`, of fewer photos."""
    out = tmp_path_factory.mktemp("known") / "known-edits"
    editloop.run(read_recipe("known-edits", ["sources.photos.train=4"]), out, workers=1)
    return out


@pytest.fixture(scope="module")
def server(truth: Path) -> Iterator[FakeServer]:
    with serve(truth, faults=0.1, seed=3) as made:
        yield made


def recipe_at(name: str, server: FakeServer, *changes: str) -> Recipe:
    """Return a shipped recipe whose models are at this server."""
    places = [f"build.{place}={server.base_url}" for place in SERVERS[name]]
    return read_recipe(name, [*places, *changes])


@pytest.mark.slow
@pytest.mark.parametrize("name", SERVERS)
def test_what_is_kept_is_the_true_edit_and_is_paid_once(
    name: str, truth: Path, server: FakeServer, tmp_path: Path
) -> None:
    change = f"sources.layout.path={truth}" if name == "re-edit-small" else "sources.photos.train=4"
    recipe = recipe_at(name, server, change)
    editloop.run(recipe, tmp_path / "out", workers=1)
    asked = server.seen.requests
    known = {(hash_of(each, "source"), each.instruction): each for each in samples(truth)}
    kept = samples(tmp_path / "out")
    assert len(kept) >= len(known) // 4
    for sample in kept:
        true = known[hash_of(sample, "source"), sample.instruction.removeprefix("please ")]
        assert np.array_equal(pixels(sample, "target"), pixels(true, "target")), sample.id
    ids = [each.sample.id for each in read_attempts(tmp_path / "out" / "data", "train")]
    assert len(ids) == len({*ids})
    editloop.run(recipe, tmp_path / "out", workers=1)
    assert server.seen.requests == asked


def samples(out: Path) -> list[EditSample]:
    return list(read_samples(out / "data", "train"))


def pixels(sample: EditSample, name: str) -> np.ndarray:
    return decode(getattr(sample, name).bytes)


def hash_of(sample: EditSample, name: str) -> bytes:
    return pixels(sample, name).tobytes()
