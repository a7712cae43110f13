import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editloop.images.codec import decode_mask
from editloop.schema import EditSample, EditType
from editloop.sources.layouts import open_layout
from editloop.sources.pie_bench import decode_runs
from layout_folders import jpeg, metadata, put


def read(kind: str, folder: Path) -> list[EditSample]:
    return [sample for (sample,) in open_layout(kind, folder).sessions()]


def wrong(kind: str, folder: Path) -> list[str]:
    return [f"{it.where}: {it.cause}" for it in open_layout(kind, folder).problems()]


def pie(root: Path, **change: Any) -> Path:
    item = {
        "image_path": "8_change_background_80/1_artificial/811.jpg",
        "original_prompt": "a cat on [a sofa]",
        "editing_prompt": "a cat on [grass]",
        "editing_instruction": "put the cat on grass",
        "editing_type_id": "8",
        "blended_word": "",
        "mask": [600, 10, 262000, 1000],
        **change,
    }
    put(root / "annotation_images" / item["image_path"], jpeg(size=(512, 512)))
    put(root / "mapping_file.json", json.dumps({"811": item}))
    return root


def test_pie_benchs_prompts_lose_their_brackets(tmp_path: Path) -> None:
    (sample,) = read("pie-bench", pie(tmp_path))
    assert (sample.source_caption, sample.target_caption) == ("a cat on a sofa", "a cat on grass")
    assert (sample.id, sample.instruction) == ("811", "put the cat on grass")
    assert sample.edit_type is EditType.BACKGROUND
    assert sample.provenance is not None
    assert sample.provenance.parameters == {
        "editing_type_id": "8",
        "blended_word": "",
        "image_path": "8_change_background_80/1_artificial/811.jpg",
    }


def test_pie_benchs_mask_is_its_runs_and_the_border(tmp_path: Path) -> None:
    (sample,) = read("pie-bench", pie(tmp_path))
    assert sample.mask is not None
    flat = np.zeros(512 * 512, bool)
    flat[600:610] = True
    flat[262000:] = True  # the run ends with the picture
    due = flat.reshape(512, 512)
    due[0] = due[-1] = due[:, 0] = due[:, -1] = True
    assert ((decode_mask(sample.mask.bytes) == 255) == due).all()


@pytest.mark.parametrize("runs", [[1], [-1, 5], [99999, 1], ["a", 2], None])
def test_runs_that_are_no_mask_are_a_problem(tmp_path: Path, runs: Any) -> None:
    runs = [262145, 1] if runs == [99999, 1] else runs
    (found,) = wrong("pie-bench", pie(tmp_path, mask=runs))
    assert found.startswith("811: its mask cannot be decoded")


def test_decoded_runs_have_the_side_that_is_asked_for() -> None:
    assert decode_runs([5, 2], side=4).tolist() == [
        [255, 255, 255, 255],
        [255, 255, 255, 255],
        [255, 0, 0, 255],
        [255, 255, 255, 255],
    ]


def test_a_picture_that_pie_bench_lacks_is_a_problem(tmp_path: Path) -> None:
    pie(tmp_path)
    (tmp_path / "annotation_images/8_change_background_80/1_artificial/811.jpg").unlink()
    assert wrong("pie-bench", tmp_path) == [
        "811 source (annotation_images/8_change_background_80/1_artificial/811.jpg): "
        "the file is missing"
    ]


def test_an_edit_that_pie_bench_describes_in_part_is_a_problem(tmp_path: Path) -> None:
    (found,) = wrong("pie-bench", pie(tmp_path, editing_prompt=None))
    assert found.startswith("811: one of original_prompt")


def test_without_its_mapping_pie_bench_is_a_problem(tmp_path: Path) -> None:
    assert wrong("pie-bench", tmp_path)[0] == "mapping_file.json: the index file is missing"


@pytest.mark.parametrize(
    ("listing", "pictures"), [("singleturn.json", "."), ("basic_edit.json", "original_images")]
)
def test_imgedit_is_read_as_unpacked_or_with_its_pictures_apart(
    tmp_path: Path, listing: str, pictures: str
) -> None:
    put(tmp_path / pictures / "animal" / "1.jpg", jpeg())
    items = {
        "1082": {"id": "animal/1.jpg", "prompt": "Make its fur red.", "edit_type": "adjust"},
        "44": {"id": "animal/1.jpg", "prompt": "Extract the cat.", "edit_type": "extract"},
    }
    put(tmp_path / listing, json.dumps(items))
    first, second = read("imgedit", tmp_path)
    assert (first.id, first.instruction) == ("1082", "Make its fur red.")
    assert (first.edit_type, second.edit_type) == (EditType.TEXTURE, None)
    assert second.provenance is not None
    assert second.provenance.parameters == {"edit_type": "extract"}


def test_an_edit_without_a_prompt_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path / "singleturn.json", json.dumps({"1": {"id": "a.jpg", "edit_type": "add"}}))
    assert wrong("imgedit", tmp_path)[0].startswith(
        "1: id (the picture), prompt or edit_type is missing"
    )


def test_real_edits_texts_name_type_and_instruction(tmp_path: Path) -> None:
    put(tmp_path / "Real-Edit" / "7.jpg", jpeg())
    texts = ["1. Local: make it smile", "2. Remove: take the cat away: all of it"]
    put(tmp_path / "real_edit_instruct.json", json.dumps({"7.jpg": texts}))
    first, second = read("real-edit", tmp_path)
    assert (first.id, first.instruction, first.edit_type) == (
        "7/1",
        "make it smile",
        EditType.LOCAL,
    )
    assert (second.id, second.instruction) == ("7/2", "take the cat away: all of it")
    assert second.edit_type is EditType.REMOVE


def test_a_text_of_real_edit_without_a_type_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path / "7.jpg", jpeg())
    put(tmp_path / "real_edit_instruct.json", json.dumps({"7.jpg": ["make it smile"]}))
    assert wrong("real-edit", tmp_path)[0].startswith("7/1: the text is not of the form")


def test_real_edit_may_be_a_folder_with_metadata(tmp_path: Path) -> None:
    put(tmp_path / "7.jpg", jpeg())
    row = {"file_name": "7.jpg", "edit_type": "Style", "instruction": "paint it"}
    (sample,) = read("real-edit", metadata(tmp_path, [row]))
    assert (sample.edit_type, sample.instruction) == (EditType.STYLE, "paint it")
