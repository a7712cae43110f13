"""A judged protocol, whole: an editor, a model that judges over HTTP, accuracy and score."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps
from typer.testing import CliRunner

from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.cli import app
from editloop.errors import EditLoopError
from editloop.evaluation.evaluate import evaluate
from editloop.images.codec import encode_png
from evaluation_cards import CARDS
from magicbrush_data import picture
from raw_server import raw_server, reply
from sized_editors import Unchanging

ANSWERS = {"followed": (5, "yes"), "preserved": (2, "no"), "good": (4, "yes")}


def real_edit(folder: Path) -> Path:
    """Real-Edit's card over a folder of single edits, judged at a small height."""
    content = yaml.safe_load((CARDS / "real-edit.yaml").read_text())
    content["data"] = {"layout": "metadata"}
    content["judge"]["height"] = 48
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def data(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    rows = [
        {"file_name": f"{i}.png", "instruction": f"edit {i}", "id": str(i)} for i in range(count)
    ]
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for index in range(count):
        (folder / f"{index}.png").write_bytes(encode_png(picture(str(index))))
    return folder


def answer(seen: FakeRequest) -> str:
    """Return a reply in the rubric's form; the third field identifies the rubric."""
    (passed,) = set(seen.schema["properties"]) - {"failures", "score"}
    score, says = ANSWERS[passed]
    return json.dumps({"failures": "None", "score": score, passed: says})


@pytest.mark.slow
def test_a_model_judges_by_the_cards_perspectives_and_is_paid_once(tmp_path: Path) -> None:
    card, where, out = real_edit(tmp_path), data(tmp_path / "data"), tmp_path / "out"
    with FakeServer(answer) as server:
        judge = f"vlm:fake?base_url={server.base_url}"
        results = evaluate(card, where, ["copy"], out, judge=judge)
        assert server.seen.requests == 3 * len(ANSWERS)
        evaluate(card, where, ["copy"], out, judge=judge, resamples=200)
        assert server.seen.requests == 3 * len(ANSWERS)
    found = results["evaluation"]["real-edit/test"]["copy"]
    assert {name: score["mean"] for name, score in found.items()} == {
        "following_accuracy": 1.0,
        "following_score": 5.0,
        "preserving_accuracy": 0.0,
        "preserving_score": 2.0,
        "quality_accuracy": 1.0,
        "quality_score": 4.0,
    }


def released(path: Path) -> list[bytes]:
    """Source and edit as Real-Edit's released evaluation sends them, for an unchanging editor."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    factor = 512 / max(width, height)
    factor = math.ceil(min(width, height) * factor / 64) * 64 / min(width, height)
    size = int((width * factor) // 64) * 64, int((height * factor) // 64) * 64
    fitted = ImageOps.fit(image, size, method=Image.Resampling.LANCZOS)
    sent = []
    for each in (fitted, fitted):
        file = io.BytesIO()
        each.resize((int(512 * width / height), 512)).save(file, format="JPEG")
        sent.append(file.getvalue())
    return sent


@pytest.mark.slow
@pytest.mark.parametrize("judge", ["vlm", "panel"])
def test_real_edit_s_judge_sees_what_the_released_evaluation_sends(
    tmp_path: Path, judge: str
) -> None:
    """The cropped source, both at height 512, JPEG of quality 75; every edit has the seed 42."""
    where, came = tmp_path / "data", list[FakeRequest]()
    Unchanging.asked.clear()
    where.mkdir()
    (where / "metadata.jsonl").write_text('{"file_name": "a.png", "instruction": "x", "id": "a"}\n')
    (where / "a.png").write_bytes(encode_png(picture("a", 290)[:170, :280]))
    card = yaml.safe_load((CARDS / "real-edit.yaml").read_text())
    (tmp_path / "card.yaml").write_text(yaml.safe_dump({**card, "data": {"layout": "metadata"}}))

    def noted(asked: FakeRequest) -> str:
        came.append(asked)
        return answer(asked)

    with FakeServer(noted) as server:
        member = f"vlm:fake?base_url={server.base_url}"
        evaluate(
            tmp_path / "card.yaml",
            where,
            [f"python:sized_editors:Unchanging?target={tmp_path}"],
            tmp_path / "out",
            judge=member if judge == "vlm" else {"kind": "panel", "judges": [member]},
        )
    (request,) = Unchanging.asked
    assert request.seed == 42
    assert request.settings["text_guidance"] == 7.5
    expected = released(where / "a.png")
    assert sorted(len(asked.images) for asked in came) == [1, 2, 2]
    for asked in came:
        for sent, due in zip(asked.images, expected[-len(asked.images) :], strict=True):
            own, theirs = (Image.open(io.BytesIO(each)) for each in (sent, due))
            assert own.quantization == theirs.quantization
            assert np.abs(np.asarray(own).astype(int) - np.asarray(theirs)).max() <= 1


def test_what_the_server_did_not_answer_is_asked_again_and_never_averaged(tmp_path: Path) -> None:
    card, where, out = real_edit(tmp_path), data(tmp_path / "data"), tmp_path / "out"
    judge = "vlm:fake?base_url=http://127.0.0.1:9/v1&attempts=1"
    with pytest.raises(EditLoopError):
        evaluate(card, where, ["copy"], out, judge=judge)
    with FakeServer(answer) as server:
        later = evaluate(card, where, ["copy"], out, judge=f"vlm:fake?base_url={server.base_url}")
    assert later["evaluation"]["real-edit/test"]["copy"]["following_score"]["coverage"] == 1


L1 = {"l1_source": {"kind": "pixels", "target": "l1", "against": "source"}}
ABSENT = "absent=python:evaluation_fakes:Absent"


@pytest.mark.slow
@pytest.mark.parametrize("metrics", [{}, L1], ids=["judged alone", "measured too"])
def test_an_evaluation_in_which_nothing_was_judged_exits_with_the_reason(
    tmp_path: Path, metrics: dict[str, object]
) -> None:
    card, where = real_edit(tmp_path), data(tmp_path / "data")
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), "metrics": metrics}))
    words = ["evaluate", "--protocol", card, "--data", where, "--out", tmp_path / "out"]
    with raw_server(lambda _: reply("", "SAFETY")) as server:
        words += ["--editor", "copy", "--judge", f"vlm:fake?base_url={server.base_url}"]
        done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 1, done.output
    whose = "the judge of real-edit/test" if metrics else "real-edit/test"
    assert f"error: {whose}: nothing was scored: refused" in done.output


@pytest.mark.slow
@pytest.mark.parametrize(("others", "code"), [([], 1), (["copy"], 0)])
def test_an_evaluation_without_any_score_exits_with_the_reason(
    tmp_path: Path, others: list[str], code: int
) -> None:
    card, where = real_edit(tmp_path), data(tmp_path / "data", 1)
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), "metrics": L1}))
    words = ["evaluate", "--protocol", card, "--data", where, "--out", tmp_path / "out"]
    words += [word for each in [ABSENT, *others] for word in ("--editor", each)]
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == code, done.output
    told = "real-edit/test: nothing was scored: 1.0 weights are absent; run `get the-weights`"
    assert (told in done.output) == bool(code)
