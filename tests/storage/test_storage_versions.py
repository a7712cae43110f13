"""Changed settings are refused by name, or become a new version that reuses what it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from editloop.errors import ChangedError
from editloop.kernel.build import BuildReport, Options, build
from editloop.kernel.tasks import StepSpec
from editloop.storage.samples import read_samples
from editloop.storage.verify import verify
from editloop.storage.versions import claim_version, differences, retire_versions
from kernel_faults import published
from kernel_parts import source, step

HERE = Options(workers=0)


def make(
    out: Path,
    items: StepSpec | None = None,
    *,
    steps: list[StepSpec] | None = None,
    new_version: bool = False,
    options: Options = HERE,
    seed: int = 0,
) -> BuildReport:
    return build(
        [items or source(count={"train": 10})],
        [step()] if steps is None else steps,
        out=out,
        seed=seed,
        shard_size=4,
        new_version=new_version,
        options=options,
    )


def test_differences_are_told_key_by_key() -> None:
    old = {"seed": 1, "steps": {"a": {"size": 3}, "b": {}}}
    new = {"seed": 2, "steps": {"a": {"size": 4}, "c": 5}}
    assert differences(old, new) == [
        "seed: 1 -> 2",
        "steps.a.size: 3 -> 4",
        "steps.b: {} -> (absent)",
        "steps.c: (absent) -> 5",
    ]


def test_the_same_settings_claim_the_same_folder(tmp_path: Path) -> None:
    first = claim_version(tmp_path, "train.plain", {"steps": 3, "sizes": (1, 2)})
    assert claim_version(tmp_path, "train.plain", {"sizes": [1, 2], "steps": 3}) == first
    assert first.parent == tmp_path / ".editloop" / "train.plain"


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    claim_version(tmp_path, "train.plain", {"steps": 3})
    with pytest.raises(ChangedError) as caught:
        claim_version(tmp_path, "train.plain", {"steps": 4})
    assert "steps: 3 -> 4" in str(caught.value)
    assert "--new-version" in str(caught.value)


def test_a_new_version_leaves_the_old_ones_work_until_it_is_retired(tmp_path: Path) -> None:
    old = claim_version(tmp_path, "train.plain", {"steps": 3})
    old.mkdir(parents=True)
    new = claim_version(tmp_path, "train.plain", {"steps": 4}, new_version=True)
    new.mkdir(parents=True)
    assert old.exists()
    retire_versions(tmp_path, "train.plain", [new.name])
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 7}, "seed: 0 -> 7"),
        ({"steps": [step(drops=3)]}, "steps.MixedStep.parameters.drops: 5 -> 3"),
        ({"steps": []}, "steps.MixedStep"),
        ({"items": source(count={"train": 12})}, "inputs.list.train.items: 10 -> 12"),
        ({"items": source(count={"train": 10}, bytes=10)}, "inputs.list.train.digest"),
    ],
)
def test_a_changed_recipe_is_refused_by_name(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    make(tmp_path)
    before = published(tmp_path)
    with pytest.raises(ChangedError) as caught:
        make(tmp_path, **change)  # type: ignore[arg-type]
    assert told in str(caught.value)
    assert published(tmp_path) == before
    assert make(tmp_path).timings["shards"] == 0


def test_workers_and_deadline_may_change(tmp_path: Path) -> None:
    make(tmp_path)
    assert make(tmp_path, options=Options(workers=1, deadline=99)).timings["shards"] == 0


def test_a_new_version_equals_one_from_scratch_and_removes_the_old(tmp_path: Path) -> None:
    make(tmp_path / "changed")
    make(tmp_path / "changed", steps=[step(drops=3)], new_version=True)
    make(tmp_path / "fresh", steps=[step(drops=3)])
    assert published(tmp_path / "changed") == published(tmp_path / "fresh")
    work = {
        name: {path.name for path in (tmp_path / name / ".editloop" / "build").iterdir()}
        for name in ("changed", "fresh")
    }
    assert work["changed"] == work["fresh"]
    assert verify(tmp_path / "changed") == []


def test_the_old_set_stays_until_the_new_is_whole(tmp_path: Path) -> None:
    make(tmp_path)
    before = published(tmp_path)
    seen = []
    options = Options(workers=0, progress=lambda _: seen.append(published(tmp_path)))
    make(tmp_path, steps=[step(drops=3)], new_version=True, options=options)
    assert seen == [before] * 4
    assert published(tmp_path) != before


def test_added_inputs_are_refused_and_then_run_alone(tmp_path: Path) -> None:
    listing = tmp_path / "listing"
    listing.write_text("\n".join(f"photo-{index}" for index in range(8)))
    make(tmp_path / "out", source(listing=str(listing)))
    listing.write_text("\n".join(f"photo-{index}" for index in range(9)))
    with pytest.raises(ChangedError, match=r"inputs\.list\.train\.items: 8 -> 9"):
        make(tmp_path / "out", source(listing=str(listing)))
    again = make(tmp_path / "out", source(listing=str(listing)), new_version=True)
    assert again.timings["shards"] == 1
    make(tmp_path / "fresh", source(listing=str(listing)))
    assert published(tmp_path / "out") == published(tmp_path / "fresh")


def test_a_changed_last_segment_runs_alone(tmp_path: Path) -> None:
    first = [step(), step("NetworkStep", label="a")]
    changed = [step(), step("NetworkStep", label="b")]
    assert make(tmp_path / "changed", steps=first).timings["shards"] == 6
    again = make(tmp_path / "changed", steps=changed, new_version=True)
    assert again.timings["shards"] == 3
    make(tmp_path / "fresh", steps=changed)
    assert published(tmp_path / "changed") == published(tmp_path / "fresh")


def test_going_back_uses_what_is_still_there(tmp_path: Path) -> None:
    make(tmp_path)
    before = published(tmp_path)
    make(tmp_path, steps=[step(drops=3)], new_version=True)
    make(tmp_path, new_version=True)
    assert published(tmp_path) == before
    assert [sample.turn for sample in read_samples(tmp_path / "data", "train")]
