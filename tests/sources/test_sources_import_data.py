"""Importing published sets: each layout becomes samples, faults are listed, kills lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import RecipeError, StoreError, UnavailableError
from editloop.images.codec import decode_mask, encode_png
from editloop.schema import EditSample, EditType, Json, Score, Unscored
from editloop.sources.hashes import hash_samples, write_hashes
from editloop.sources.import_data import import_data
from editloop.storage.samples import read_samples
from editloop.storage.verify import verify
from layout_folders import (
    HEIGHT,
    WIDTH,
    magicbrush,
    metadata,
    parquet,
    picture,
    png,
    put,
    see_through,
)
from odd_images import saved
from published_folders import (
    UNICODE,
    hq_edit_rows,
    instruct_pix2pix_folders,
    instruct_pix2pix_rows,
    magicbrush_rows,
    ultra_edit_rows,
    web_dataset,
)

pytestmark = pytest.mark.slow


def imported(kind: str, data: Path, **settings: Any) -> dict[str, EditSample]:
    """Return the imported samples by id; ids of held-out samples start with their split."""
    out = data.with_name(f"{data.name}-imported")
    results = import_data(kind, data, out, workers=1, **settings)
    return {
        sample.id if split == "train" else f"heldout {sample.id}": sample
        for split in results["build"]["splits"]
        for sample in read_samples(out / "data", split)
    }


def quarantined(data: Path) -> dict[str, str]:
    path = data.with_name(f"{data.name}-imported") / "rejects" / "quarantined.parquet"
    return {row["id"]: row["code"] for row in pq.read_table(path).to_pylist()}


def values(sample: EditSample) -> dict[str, float]:
    return {name: each.value for name, each in sample.scores.items() if isinstance(each, Score)}


def test_instruct_pix2pix_comes_from_its_folders_with_its_measures(tmp_path: Path) -> None:
    found = imported("instruct-pix2pix", instruct_pix2pix_folders(tmp_path / "ip2p", ["01", "02"]))
    assert list(found) == ["01", "02"]
    sample = found["02"]
    assert (sample.instruction, sample.source_caption) == ("make it dark 02", "a cat 02")
    assert values(sample) == {
        "clip_sim_source": 0.21,
        "clip_sim_target": 0.22,
        "clip_sim_dir": 0.23,
        "clip_sim_image": 0.75,
    }
    assert sample.provenance is not None
    assert sample.provenance.parameters == {"seed": "1", "p2p_threshold": 0.25, "cfg_scale": 8.5}


def test_instruct_pix2pix_comes_from_the_hubs_rows(tmp_path: Path) -> None:
    found = imported("instruct-pix2pix", instruct_pix2pix_rows(tmp_path / "rows"))
    sample = found["000001"]
    assert (sample.instruction, sample.target_caption) == ("darken 1", "a dark cat")
    assert sample.target is not None
    assert (sample.source.bytes, sample.target.bytes) == (png(shade=1), png(shade=2))


def test_magicbrush_comes_from_the_hubs_rows_and_dev_is_held_out(tmp_path: Path) -> None:
    data = magicbrush_rows(tmp_path / "rows", {"train": {"1": 2, "2": 1}, "dev": {"3": 1}})
    found = imported("magicbrush", data)
    assert list(found) == ["heldout dev/3/1", "train/1/1", "train/1/2", "train/2/1"]
    second = found["train/1/2"]
    assert (second.session, second.turn, second.parent_id) == ("train/1", 2, "train/1/1")
    assert second.mask is not None
    assert set(decode_mask(second.mask.bytes).ravel().tolist()) == {0, 255}
    assert second.mask.bytes != see_through()  # white where editing is allowed, not transparent


def test_magicbrush_comes_from_an_unpacked_split(tmp_path: Path) -> None:
    found = imported("magicbrush", magicbrush(tmp_path / "test", {"30": 2}))
    assert list(found) == ["heldout 30/1", "heldout 30/2"]
    assert found["heldout 30/2"].target_caption == "dark fur 30 2"


def test_a_row_of_hq_edit_is_two_edits_under_the_cards_licence(tmp_path: Path) -> None:
    found = imported("hq-edit", hq_edit_rows(tmp_path / "hq", 2))
    assert list(found) == ["000000", "000000/inverse", "000001", "000001/inverse"]
    there, back = found["000001"], found["000001/inverse"]
    assert (there.instruction, back.instruction) == ("darken 1", "lighten 1")
    assert (back.source, back.target) == (there.target, there.source)
    assert (back.source_caption, back.parent_id) == ("a dark cat 1", "000001")
    assert back.provenance is not None
    assert back.provenance.licence == "cc-by-nc-4.0"
    assert list(imported("hq-edit", hq_edit_rows(tmp_path / "one", 1), inverse=False)) == ["000000"]


def test_ultra_edits_measures_are_scores_and_its_index_is_no_id(tmp_path: Path) -> None:
    found = imported("ultra-edit", ultra_edit_rows(tmp_path / "free"))
    assert list(found) == ["000000", "000001"]
    sample = found["000001"]
    assert values(sample)["dinov2_sim"] == 0.5
    assert isinstance(sample.scores["ssim"], Unscored)
    assert sample.provenance is not None
    assert sample.provenance.parameters == {"idx": 7}


def test_ultra_edits_regions_have_masks_and_objects(tmp_path: Path) -> None:
    data = ultra_edit_rows(
        tmp_path / "region", "RegionBase", mask_image=see_through(), edit_object="cat"
    )
    sample = imported("ultra-edit", data)["000000"]
    assert sample.mask is not None
    assert sample.edit_object == "cat"


def rewards(path: Path, *names: str) -> Path:
    each = [{"Score": 2, "Negative Prompt": "too bright"}, {"Score": 5}, {"Score": 3}]
    put(path, json.dumps(dict.fromkeys(names, each)))
    return path


def test_reward_edits_scores_join_their_triplets(tmp_path: Path) -> None:
    data = instruct_pix2pix_folders(tmp_path / "ip2p", ["01", "02", "03"])
    found = imported("reward-edit", data, rewards=rewards(tmp_path / "r.json", "02", "99"))
    assert list(found) == ["02"]
    assert found["02"].scores["following"] == Score(
        2.0, text="too bright", version=found["02"].scores["quality"].version
    )
    assert values(found["02"])["quality"] == 3
    assert quarantined(data) == {"99": "absent"}


@pytest.mark.parametrize(
    ("kind", "settings", "cause"),
    [
        ("reward-edit", {}, "needs the file of rewards"),
        ("reward-edit", {"rewards": "r.json"}, "InstructPix2Pix's folders, which its Parquet"),
        ("instruct-pix2pix", {"rewards": "r.json"}, "only reward-edit takes rewards"),
        ("instruct-pix2pix", {"heldut": 0.1}, "unknown key"),
        ("table", {"columns": {"sorce": "a"}}, "did you mean 'source'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, settings: Json, cause: str
) -> None:
    monkeypatch.chdir(tmp_path)
    rewards(tmp_path / "r.json", "02")
    with pytest.raises(RecipeError, match=cause):
        import_data(kind, instruct_pix2pix_rows(tmp_path / "rows"), tmp_path / "out", **settings)


def test_emu_edit_is_held_out_whole_with_its_types(tmp_path: Path) -> None:
    row = {
        "idx": 17,
        "image": png(),
        "instruction": "make it dark",
        "task": "color",
        "input_caption": "a cat",
        "output_caption": "a dark cat",
    }
    for split in ("validation", "test"):
        parquet(tmp_path / "emu" / "data" / f"{split}-00000-of-00001.parquet", [row])
    found = imported("emu-edit", tmp_path / "emu", heldout=0.0)
    assert list(found) == ["heldout test/17", "heldout validation/17"]
    assert found["heldout test/17"].edit_type is EditType.TEXTURE


def test_real_edit_is_held_out(tmp_path: Path) -> None:
    put(tmp_path / "real" / "Real-Edit" / "a.png", png())
    texts = ["1. Local: make it smile", "2. Style: as an oil painting"]
    put(tmp_path / "real" / "real_edit_instruct.json", json.dumps({"a.png": texts}))
    found = imported("real-edit", tmp_path / "real")
    assert list(found) == ["heldout a/1", "heldout a/2"]
    assert found["heldout a/2"].edit_type is EditType.STYLE


MAPPED = {"source": "before", "target": "after", "instruction": "caption", "licence": "terms"}


def test_any_parquet_comes_by_a_map_of_its_columns(tmp_path: Path) -> None:
    row = {"before": png(), "after": png(shade=2), "caption": UNICODE, "terms": "CC0", "n": 3}
    parquet(tmp_path / "any" / "part.parquet", [row])
    sample = imported("table", tmp_path / "any", columns=MAPPED)["000000"]
    assert sample.instruction == UNICODE
    assert sample.provenance is not None
    assert (sample.provenance.licence, sample.provenance.parameters) == ("CC0", {"n": 3})


def test_a_mapped_mask_may_be_missing_where_an_edit_is_free_form(tmp_path: Path) -> None:
    edit = {"before": png(), "after": png(shade=2), "caption": UNICODE}
    mask = see_through()
    rows = [{**edit, "mask": None}, {**edit, "mask": mask}, {**edit, "after": None, "mask": mask}]
    parquet(tmp_path / "any" / "part.parquet", rows)
    columns = {"source": "before", "target": "after", "instruction": "caption", "mask": "mask"}
    found = imported("table", tmp_path / "any", columns=columns)
    assert list(found) == ["000000", "000001"]
    assert [sample.mask is None for sample in found.values()] == [True, False]


REGION = np.zeros((HEIGHT, WIDTH), np.uint8)
REGION[4:20, 6:30] = 1


def masked(root: Path, *masks: bytes | None, photo: bytes | None = None) -> Path:
    """A data set of an edit with each of these masks."""
    edit = {"source": photo or png(), "target": photo or png(shade=2), "instruction": "darken"}
    parquet(root / "part.parquet", [{**edit, "mask": mask} for mask in masks])
    return root


def regions(found: dict[str, EditSample]) -> list[np.ndarray]:
    return [decode_mask(sample.mask.bytes) for sample in found.values() if sample.mask]


def test_masks_of_labels_come_white_where_editing_is_allowed(tmp_path: Path) -> None:
    labels = [encode_png(REGION * label) for label in (1, 17, 127)]
    found = regions(imported("table", masked(tmp_path / "labels", *labels, see_through())))
    assert [np.array_equal(each, REGION * 255) for each in found] == [True] * 4


def test_ambiguous_masks_are_quarantined_and_a_rule_reads_them(tmp_path: Path) -> None:
    data = masked(tmp_path / "rule", encode_png(REGION + 1), encode_png(REGION * 255))
    assert list(imported("table", data)) == ["000001"]
    assert quarantined(data) == {"000000": "ambiguous-mask"}
    (other,) = regions(imported("table", masked(tmp_path / "i", encode_png(REGION + 1)),
                                mask_rule="index:2", invert_mask=True))  # fmt: skip
    assert np.array_equal(other, 255 - REGION * 255)


def test_a_mask_is_turned_with_its_photo_at_import(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    photo = saved(picture(), "JPEG", exif=exif)
    (region,) = regions(imported("table", masked(tmp_path / "t", encode_png(REGION), photo=photo)))
    assert np.array_equal(region, np.rot90(REGION, -1) * 255)
    exif[0x0112] = 3
    data = masked(tmp_path / "both", encode_png(REGION), photo=saved(picture(), "JPEG", exif=exif))
    assert not imported("table", data)
    assert quarantined(data) == {"000000": "turned-mask"}


def test_import_tells_the_share_of_masks_read_by_their_transparency(tmp_path: Path) -> None:
    data = masked(tmp_path / "share", see_through(), see_through(), encode_png(REGION), None)
    asked = ["import", "table", str(data), "--out", str(tmp_path / "out"), "--workers", "1"]
    result = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert "masks: 3 of 4 samples (75.0%)" in result.output
    assert "transparent = editable: 2 of 3 masks (66.7%)" in result.output
    assert "--invert-mask" in result.output
    opaque = [*asked[:3], "--out", str(tmp_path / "o"), "--mask-rule", "opaque"]
    result = CliRunner().invoke(app, opaque, catch_exceptions=False)
    assert "transparent = editable" not in result.output


def test_what_datasets_saved_comes_by_its_splits(tmp_path: Path) -> None:
    features = datasets.Features(
        {"input_image": datasets.Image(), "edit": datasets.Value("string")}
    )
    rows = [
        {"input_image": {"bytes": png(shade=at), "path": None}, "edit": UNICODE} for at in (1, 2)
    ]
    parts = {
        split: datasets.Dataset.from_list(rows, features=features) for split in ("train", "test")
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    found = imported("table", tmp_path / "saved")
    assert list(found) == [
        *("heldout test/000000", "heldout test/000001", "train/000000", "train/000001")
    ]
    assert found["train/000001"].source.bytes == png(shade=2)


def test_a_web_dataset_comes_by_its_suffixes(tmp_path: Path) -> None:
    samples = [
        {"in.png": png(), "out.png": png(shade=at), "txt": UNICODE, "json": '{"license": "CC0"}'}
        for at in (1, 2)
    ]
    web_dataset(tmp_path / "web" / "shard-000000.tar", samples)
    columns = {"source": "in", "target": "out", "instruction": "txt"}
    found = imported("table", tmp_path / "web", columns=columns)
    assert list(found) == ["000000", "000001"]
    second = found["000001"]
    assert second.instruction == UNICODE
    assert second.target is not None
    assert second.target.bytes == png(shade=2)


@pytest.mark.parametrize(
    ("kind", "name", "cause"),
    [
        (
            "ultra-edit",
            "edited_imge",
            "no column for the field target .*did you mean 'edited_imge'",
        ),
        ("hq-edit", "output_imag", "no column for the field target .*did you mean 'output_imag'"),
    ],
)
def test_a_misnamed_column_is_refused_before_anything_runs(
    tmp_path: Path, kind: str, name: str, cause: str
) -> None:
    row = {
        "source_image": png(),
        "input_image": png(),
        "edit": "x",
        "edit_prompt": "x",
        name: png(),
    }
    parquet(tmp_path / "set" / "train-00000-of-00001.parquet", [row])
    with pytest.raises(RecipeError, match=f"(?s){cause}"):
        import_data(kind, tmp_path / "set", tmp_path / "out")
    assert not (tmp_path / "out" / "data").exists()


def test_what_is_wrong_costs_its_own_edit_and_is_quarantined(tmp_path: Path) -> None:
    put(tmp_path / "set" / "a.png", png())
    put(tmp_path / "set" / "cut.png", png()[:300])
    put(tmp_path / "set" / "odd.png", png(size=(24, 24)))
    row = {"file_name": "a.png", "instruction": "darken"}
    rows = [
        {**row, "id": "good"},
        {**row, "id": "cut", "target": "cut.png"},
        {**row, "id": "gone", "target": "gone.png"},
        {**row, "id": "odd", "target": "odd.png"},
        {**row, "id": "wordless", "instruction": " "},
        *({**row, "session": "s", "id": f"s{turn}", "turn": turn} for turn in (1, 3)),
        {**row, "id": 0.5},
    ]
    assert list(imported("metadata", metadata(tmp_path / "set", rows))) == ["good", "s1"]
    assert quarantined(tmp_path / "set") == {
        "cut": "truncated",
        "gone": "unreadable",
        "odd": "other-size",
        "s3": "session-broken",
        "metadata.jsonl line 5": "row-faulty",
        "metadata.jsonl line 8": "row-faulty",
    }


def test_twice_used_ids_are_named_and_the_rest_is_imported(tmp_path: Path) -> None:
    put(tmp_path / "set" / "a.png", png())
    row = {"file_name": "a.png", "instruction": "darken"}
    rows = [{**row, "id": name} for name in "aba"]
    rows += [{**row, "id": "b", "session": "s", "turn": 1}, {**row, "session": "s", "turn": 2}]
    data = metadata(tmp_path / "set", rows)
    assert list(imported("table", data)) == ["a", "b"]
    assert quarantined(data) == {
        "metadata.jsonl line 3": "id-twice",
        "metadata.jsonl line 4 turn 1": "id-twice",
        "metadata.jsonl line 5 turn 2": "id-twice",
    }
    numbered = import_data("table", data, tmp_path / "numbered", columns={"id": ""}, workers=1)
    assert numbered["build"]["out"] == 5


def test_turns_from_0_and_interleaved_sessions_are_imported(tmp_path: Path) -> None:
    rows = [
        {"session": session, "turn": turn, "source": png(shade=turn), "instruction": "x"}
        for turn in (1, 0)
        for session in "st"
    ]
    parquet(tmp_path / "set" / "a.parquet", rows)
    found = imported("table", tmp_path / "set")
    assert list(found) == ["s/1", "s/2", "t/1", "t/2"]
    assert found["t/2"].source.bytes == png(shade=1)


SHAPES = {"near": (36, 49), "far": (36, 60)}


@pytest.mark.parametrize(("fit", "kept"), [("refuse", ["near"]), ("crop", ["near", "far"])])
def test_shapes_that_differ_a_little_are_resized_and_others_as_asked(
    tmp_path: Path, fit: str, kept: list[str]
) -> None:
    rows = [
        {"id": name, "source": png(), "target": png(size=size), "instruction": "x"}
        for name, size in SHAPES.items()
    ]
    parquet(tmp_path / "set" / "a.parquet", rows)
    found = imported("table", tmp_path / "set", fit=fit)
    assert list(found) == kept
    near = found["near"].provenance
    assert near is not None
    assert near.parameters == {"resized": {"target": [36, 49]}}
    if fit == "crop":
        far = found["far"].provenance
        assert far is not None
        assert far.parameters == {"resized": {"target": [36, 60]}, "fit": "crop"}
    else:
        assert quarantined(tmp_path / "set") == {"far": "other-size"}


def test_the_end_of_import_and_show_says_what_was_left_out_and_why(tmp_path: Path) -> None:
    rows = [
        {"id": name, "source": png(), "target": png(size=size), "instruction": "x"}
        for name, size in SHAPES.items()
    ]
    parquet(tmp_path / "set" / "a.parquet", rows)
    out = tmp_path / "out"
    command = ["import", "table", str(tmp_path / "set"), "--out", str(out)]
    for words in (command, ["show", str(out)]):
        ended = CliRunner().invoke(app, words)
        assert ended.exit_code == 0, ended.output
        assert "quarantined 1 by layout, other-size: far" in ended.output
        assert "aspect ratios by 25.0%; fix: import with --fit" in ended.output
        assert str(out / "rejects" / "quarantined.parquet") in ended.output
    parquet(tmp_path / "set" / "a.parquet", rows[1:])
    none = str(tmp_path / "none")
    for words in ([*command[:-1], none], ["show", none], ["show", none, "--html"]):
        ended = CliRunner().invoke(app, words)
        assert ended.exit_code == 1
        assert "nothing came out of 1 inputs" in ended.output


def test_references_are_imported(tmp_path: Path) -> None:
    row = {"source": png(), "instruction": "x", "references": [{"bytes": png("coffee")}]}
    parquet(tmp_path / "set" / "a.parquet", [row])
    (further,) = imported("table", tmp_path / "set")["000000"].references
    assert further.bytes == png("coffee")


def test_a_larger_target_gets_its_sources_size(tmp_path: Path) -> None:
    row = {"source": png(), "target": png(size=(72, 96)), "instruction": "x"}
    parquet(tmp_path / "set" / "a.parquet", [row])
    sample = imported("table", tmp_path / "set")["000000"]
    assert sample.provenance is not None
    assert sample.provenance.parameters == {"resized": {"target": [72, 96]}}


def test_a_share_of_whole_sessions_is_held_out(tmp_path: Path) -> None:
    data = magicbrush_rows(tmp_path / "rows", {"train": {str(at): 2 for at in range(12)}})
    found = imported("magicbrush", data, heldout=0.5)
    held = {name.split()[1].partition("/")[0] for name in found if name.startswith("heldout")}
    kept = {name.partition("/")[0] for name in found if not name.startswith("heldout")}
    assert held
    assert kept
    assert not held & kept


def test_contamination_is_told_with_counts_and_ids_or_dropped(tmp_path: Path) -> None:
    data = hq_edit_rows(tmp_path / "hq", 3)
    first = next(iter(imported("hq-edit", hq_edit_rows(tmp_path / "one", 1)).values()))
    write_hashes(hash_samples("seeds", [first]), tmp_path / "seeds.json")
    against = [str(tmp_path / "seeds.json")]
    told = import_data("hq-edit", data, tmp_path / "told", workers=1, against=against)
    found = told["contamination"]["contamination"]["found"]["seeds"]
    assert found["instruction"] == {"kept": 2, "dropped": 0, "ids": ["000000", "000000/inverse"]}
    dropped = import_data(
        *("hq-edit", data, tmp_path / "dropped"), workers=1, against=against, drop_contaminated=True
    )
    found = dropped["contamination"]["contamination"]["found"]["seeds"]
    assert found["instruction"] == {"kept": 0, "dropped": 1, "ids": ["000000"]}
    listed = tmp_path / "dropped" / "evaluation" / "contamination" / "contaminated.jsonl"
    assert "000000" in [json.loads(line)["id"] for line in listed.read_text().splitlines()]


def cached(folder: Path, name: str) -> Path:
    """Create an empty data set in the hub's cache and return the folder for its files."""
    place = folder / f"datasets--{name.replace('/', '--')}"
    put(place / "refs" / "main", "0a1b")
    return place / "snapshots" / "0a1b"


def test_a_set_of_the_hubs_cache_comes_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    instruct_pix2pix_rows(cached(tmp_path, "timbrooks/ip2p"))
    import_data("instruct-pix2pix", "timbrooks/ip2p", tmp_path / "out", workers=1)
    sample = next(read_samples(tmp_path / "out" / "data", "train"))
    assert sample.provenance is not None
    assert sample.provenance.source_uri == (
        "hf://datasets/timbrooks/ip2p@0a1b/data/train-00000-of-00001-f83a5c837b1853c5.parquet#0"
    )
    with pytest.raises(UnavailableError, match="hf download timbrooks/gone --repo-type dataset"):
        import_data("instruct-pix2pix", "timbrooks/gone", tmp_path / "other")
    with pytest.raises(RecipeError, match="no such data set"):
        import_data("instruct-pix2pix", "./nowhere/at/all", tmp_path / "other")


KILLED = """
import os, signal, sys
from editloop.sources.import_data import import_data

def die(progress):
    if progress.done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    import_data("hq-edit", sys.argv[1], sys.argv[2], workers=1, against=[sys.argv[3]], progress=die)
"""


def published(out: Path) -> dict[str, bytes]:
    """Return the files that a run published, except its times and the page that shows them."""
    names = ["results.json", "recipe.json", *("data", "rejects", "evaluation")]
    paths = [path for name in names for path in sorted((out / name).rglob("*")) or [out / name]]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def test_a_killed_import_goes_on_to_the_same_bytes_and_a_second_does_nothing(
    tmp_path: Path,
) -> None:
    data = hq_edit_rows(tmp_path / "hq", 200)
    test = f"magicbrush:{magicbrush(tmp_path / 'test', {'30': 1})}"
    put(tmp_path / "killed.py", KILLED)
    command = [sys.executable, str(tmp_path / "killed.py"), str(data), str(tmp_path / "out"), test]
    ended = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "data").exists()
    began: list[int] = []
    import_data(
        *("hq-edit", data, tmp_path / "out"),
        workers=1,
        against=[test],
        progress=lambda each: began.append(each.done),
    )
    assert min(began) > 0  # committed work is not repeated
    import_data("hq-edit", data, tmp_path / "whole", workers=1, against=[test])
    assert published(tmp_path / "out") == published(tmp_path / "whole")
    assert verify(tmp_path / "out") == []
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "data").iterdir()}
    told: list[int] = []
    import_data(
        *("hq-edit", data, tmp_path / "out"),
        workers=1,
        against=[test],
        progress=lambda each: told.append(each.samples),
    )
    assert set(told) == {0}
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("maps", "cause"),
    [(["source"], "--map names no column"), (["source=a", "source=b"], "a field is mapped twice")],
)
def test_a_map_that_cannot_be_read_is_refused(tmp_path: Path, maps: list[str], cause: str) -> None:
    typed = ["import", "table", str(tmp_path), "--out", str(tmp_path / "out")]
    ended = CliRunner().invoke(app, [*typed, *(word for each in maps for word in ("--map", each))])
    assert isinstance(ended.exception, RecipeError)
    assert ended.exception.cause == cause


def test_a_folder_that_no_run_made_is_not_replaced(tmp_path: Path) -> None:
    data = hq_edit_rows(tmp_path / "hq", 2)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    with pytest.raises(StoreError, match=r"(?s)not made by a run and would be replaced.*hq.data"):
        import_data("hq-edit", data, data)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_results_of_ones_own_are_not_replaced(tmp_path: Path) -> None:
    put(tmp_path / "out" / "results.json", "{}")
    with pytest.raises(StoreError, match=r"results\.json"):
        import_data("hq-edit", hq_edit_rows(tmp_path / "hq", 1), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.json"]


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_place_of_the_run_is_named(tmp_path: Path, place: str) -> None:
    put(tmp_path / "file", "mine")
    with pytest.raises(StoreError, match="cannot make a run folder"):
        import_data("hq-edit", hq_edit_rows(tmp_path / "hq", 1), tmp_path / place)


def test_a_file_is_no_data_set(tmp_path: Path) -> None:
    (file,) = hq_edit_rows(tmp_path / "hq", 1).glob("data/*")
    with pytest.raises(RecipeError, match=f"(?s)not a file.*use its folder, {file.parent}"):
        import_data("hq-edit", file, tmp_path / "out")


def test_what_the_hub_does_not_give_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="cannot download this data set"):
        import_data("hq-edit", "nobody/nothing", tmp_path / "out", download=True)


def test_a_card_with_a_date_that_is_none_states_no_licence(tmp_path: Path) -> None:
    data = hq_edit_rows(tmp_path / "hq", 1)
    put(data / "README.md", "---\nlicense: mit\ndate: 2020-99-99\n---\n")
    sample = imported("hq-edit", data)["000000"]
    assert sample.provenance is not None
    assert sample.provenance.licence is None


def test_a_set_without_an_edit_is_refused(tmp_path: Path) -> None:
    (path,) = hq_edit_rows(tmp_path / "hq", 1).glob("data/*")
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    with pytest.raises(RecipeError, match="the data set contains no edit"):
        import_data("hq-edit", tmp_path / "hq", tmp_path / "out")


def test_half_of_a_surrogate_pair_costs_its_own_edit(tmp_path: Path) -> None:
    put(tmp_path / "set" / "a.png", png())
    row = {"file_name": "a.png", "instruction": "x"}
    rows = [{**row, "id": "good"}, {**row, "id": "\ud800"}, {**row, "instruction": "\udc00"}]
    assert list(imported("metadata", metadata(tmp_path / "set", rows))) == ["good"]
    assert set(quarantined(tmp_path / "set").values()) == {"row-faulty"}


def test_pictures_come_from_any_column_of_bytes(tmp_path: Path) -> None:
    kinds = {"bare": pa.struct([("bytes", pa.binary())]), "seen": pa.binary_view()}
    for name, kind in kinds.items():
        held = [{"bytes": png()}] if name == "bare" else [png()]
        columns = {"source": pa.array(held, kind), "instruction": pa.array(["x"], pa.string_view())}
        (tmp_path / name).mkdir()
        pq.write_table(pa.table(columns), tmp_path / name / "a.parquet")
        assert imported("table", tmp_path / name)["000000"].source.bytes == png()


def test_folders_with_an_index_each_are_splits(tmp_path: Path) -> None:
    for at, split in enumerate(("train", "test")):
        put(tmp_path / "set" / split / "a.png", png(shade=at))
        metadata(tmp_path / "set" / split, [{"file_name": "a.png", "instruction": split}])
    found = imported("table", tmp_path / "set")
    assert {name: sample.source.bytes for name, sample in found.items()} == {
        "train/000000": png(),
        "heldout test/000000": png(shade=1),
    }


def test_rewards_of_nothing_are_refused(tmp_path: Path) -> None:
    data = instruct_pix2pix_folders(tmp_path / "ip2p", ["01"])
    with pytest.raises(RecipeError, match="it contains no ids"):
        import_data("reward-edit", data, tmp_path / "out", rewards=rewards(tmp_path / "r.json"))
