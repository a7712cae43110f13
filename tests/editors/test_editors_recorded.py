"""Pictures edited elsewhere: official layouts, patterns, and errors that name what is there."""

from pathlib import Path

import numpy as np
import pytest

from editloop.errors import EditLoopError, RecipeError
from editloop.images.codec import encode_png
from editloop.registry import parse_spec
from editloop.schema import EditRequest, Pixels, Provenance, Unedited

PIE = Provenance("pie-bench", "1", parameters={"image_path": "8_style/1_artificial/811.jpg"})
GEDIT = Provenance("gedit", "1", parameters={"task_type": "ps_human", "instruction_language": "cn"})


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode_png(np.full((4, 4, 3), 7, np.uint8)))


def answer(
    spec: str, name: str = "a1", made: Provenance | None = None, **more
) -> Pixels | Unedited:
    image = np.zeros((4, 4, 3), np.uint8)
    request = EditRequest(id=name, image=image, instruction="x", provenance=made, **more)
    (given,) = parse_spec(spec, "editor").create("editor").edit([request])
    return given


@pytest.mark.parametrize(
    ("file", "spec", "made"),
    [
        ("fullset/ps_human/cn/a1.png", "recorded:{}", GEDIT),
        ("ps_human/cn/a1.png", "recorded:{}", GEDIT),
        ("annotation_images/8_style/1_artificial/811.jpg", "recorded:{}", PIE),
        ("8_style/1_artificial/811.png", "recorded:{}", PIE),
        ("a1-edited.jpg", "recorded:{}?pattern={{id}}-edited.jpg", None),
        ("ps_human/a1_0.png", "recorded:{}?pattern={{task_type}}/{{id}}_0.png", GEDIT),
        ("s/2.png", "recorded:{}?pattern={{session}}/{{turn}}.png", None),
    ],
)
def test_a_picture_is_found_by_its_benchmarks_layout_or_a_pattern(
    tmp_path, file, spec, made
) -> None:
    put(tmp_path, file, "fullset/ps_human/en/a2.png", "other.png")
    given = answer(spec.format(tmp_path), made=made, session="s" if "s/2" in file else None, turn=2)
    assert isinstance(given, np.ndarray)
    assert (given == 7).all()


def test_the_other_language_is_no_answer(tmp_path) -> None:
    put(tmp_path, "fullset/ps_human/en/a1.png")
    assert isinstance(answer(f"recorded:{tmp_path}", made=GEDIT), Unedited)


@pytest.mark.parametrize("file", ["A1.png", "a1.bmp", "a1.TIFF", "fullset/PS_human/CN/a1.png"])
def test_a_name_of_another_case_or_extension_is_told(tmp_path, file) -> None:
    put(tmp_path, file)
    given = answer(f"recorded:{tmp_path}", made=GEDIT)
    assert isinstance(given, Unedited)
    assert file in given.reason
    given = answer(f"recorded:{tmp_path}?pattern={{id}}.png")
    assert isinstance(given, Unedited)
    assert (file in given.reason) == ("/" not in file)


@pytest.mark.parametrize("pattern", ["{nothing}.png", "plain.png", "{id", "{id.x}.png"])
def test_a_pattern_that_cannot_work_is_refused(tmp_path, pattern) -> None:
    with pytest.raises(RecipeError, match="pattern"):
        answer(f"recorded:{tmp_path}?pattern={pattern}")


def test_a_pattern_leads_to_nothing_outside_the_folder(tmp_path) -> None:
    put(tmp_path, "a1.png", "in/other.png")
    given = answer(f"recorded:{tmp_path / 'in'}?pattern=../{{id}}.png")
    assert isinstance(given, Unedited)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("diffusion:x/y?size=512", "long_side:512"),
        ("diffusion:x/y?size=longside:512", "did you mean 'long_side'?"),
        ("sdedit:x/y?size=512", "long_side:512"),
    ],
)
def test_errors_of_nested_settings_name_the_right_keys(spec, told) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_spec(spec, "editor").create("editor")
    assert told in str(raised.value)
    assert "text_guidance" not in str(raised.value)


@pytest.mark.parametrize("spec", ["absent", "runs/absent", "./absent", "a/b/c", "diffusion:absent"])
def test_a_wrong_folder_is_a_missing_folder(tmp_path, monkeypatch, spec) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(EditLoopError, match=r"no (such )?folder") as raised:
        answer(spec)
    assert "hf download" not in str(raised.value)
