"""The report of an evaluation by a protocol: its card, its numbers, its worst and best cases."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from editloop.errors import ImageError
from editloop.evaluation.evaluate import evaluate
from editloop.evaluation.report.casetables import case_tables, extremes
from editloop.images.codec import content_hash, decode, encode_png
from editloop.loop import run as loop
from editloop.registry import create
from editloop.runtime.seeding import generator
from editloop.schema import EditRequest, Json, Pixels, Unedited
from editloop.showing import thumbnails
from editloop.showing.thumbnails import LightPictures, exact
from evaluation_cards import own_card
from evaluation_fakes import Fake
from evaluation_pages import Elements
from magicbrush_data import make_outputs, make_split, picture

pytestmark = pytest.mark.slow

EVIL = "<script>alert('x')</script> & \"quoted\""
DARKER = "darker=python:test_evaluation_report_protocol:Darker"
CHOOSY = "choosy=python:test_evaluation_report_protocol:Choosy"
METRICS = ["l1", "clip_i", "ssim=pixels:ssim"]


class Darker(Fake):
    """An editor that darkens: the higher the image guidance, the less."""

    def one(self, request: EditRequest) -> Pixels | Unedited:
        less = round(24 / float(request.settings.get("image_guidance", 1)))
        return np.maximum(request.image, less) - np.uint8(less)


class Choosy(Darker):
    """An editor that skips some edits, with a reason."""

    def one(self, request: EditRequest) -> Pixels | Unedited:
        odd = request.id in ("0", "3")
        return Unedited(f"no {EVIL}") if odd else super().one(request)


def page(run: Path) -> str:
    return (run / "report.html").read_text("utf-8")


def article(page: str, at: int) -> str:
    """Return one of the page's cards."""
    return page.split("<article")[at + 1].partition("</article>")[0]


def section(page: str, benchmark: str) -> str:
    """Return a benchmark's part of the page."""
    return page.partition(f"<h3>{benchmark}</h3>")[2].partition('<section class="benchmark"')[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MagicBrush's protocol on three sessions, by recorded pictures and by doing nothing."""
    folder = tmp_path_factory.mktemp("magicbrush")
    data = make_split(folder / "data")
    sessions = json.loads((data / "edit_sessions.json").read_text())
    sessions["101"][1]["instruction"] = EVIL
    (data / "edit_sessions.json").write_text(json.dumps(sessions))
    made = f"mine=recorded:{make_outputs(folder / 'made')}"
    evaluate("magicbrush", data, [made, "copy"], folder / "run", metrics=METRICS, resamples=100)
    return folder / "run"


def rows(run: Path, benchmark: str, editor: str = "mine") -> list[Json]:
    table = pq.read_table(run / "evaluation/magicbrush/cases.parquet").to_pylist()
    return [row for row in table if (row["benchmark"], row["editor"]) == (benchmark, editor)]


def test_the_page_loads_nothing_and_escapes_everything(run: Path) -> None:
    elements = Elements(page(run))
    assert not elements.loads
    assert all(image["src"].startswith("data:image/") for image in elements.of("img"))
    assert all(image["alt"] for image in elements.of("img"))
    assert "<script" not in page(run)
    assert EVIL in elements.texts
    ids = {attributes["id"] for tag, attributes in elements.found if tag == "section" if
           "id" in attributes}  # fmt: skip
    assert {link["href"][1:] for link in elements.of("a")} <= ids


def test_the_card_says_what_was_measured_and_on_how_much(run: Path) -> None:
    texts = Elements(page(run)).texts
    results = json.loads((run / "results.json").read_text())
    card = results["benchmarks"]["magicbrush/all-turns"]["protocol"]
    for said in (
        "MagicBrush test",
        card["source"],
        "not the whole published test: 6 of 1,053 cases, 3 of 535 sessions",
        "L2, DINO, CLIP-T",  # not asked for
        "6 of 1,053 cases",
    ):
        assert said in texts
    assert any(text.startswith(f"protocol {card['fingerprint']}, data") for text in texts)
    assert any("edited by people with DALL-E 2" in text for text in texts)


def test_every_benchmark_shows_the_protocols_metrics(run: Path) -> None:
    for name in ("all-turns", "final-turn", "iterative-turns"):
        own = section(page(run), f"magicbrush/{name}")
        heads = re.findall(r'<th scope="col">([\w-]+)', own.partition("</thead>")[0])
        assert heads == ["editor", "L1", "CLIP-I", "SSIM"]
        assert own.count("hf download openai/clip-vit-base-patch32") == 1
        assert "beside the protocol" in own  # SSIM is not the card's


def test_the_best_of_a_column_is_marked(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    scores = results["evaluation"]["magicbrush/all-turns"]
    best = min(score["l1"]["mean"] for score in scores.values())
    table = section(page(run), "magicbrush/all-turns").partition("</table>")[0]
    assert f'class="value best">{best:.4f}' in table
    assert table.count('class="value best"') == 2  # of L1 and of SSIM


def test_a_benchmark_says_how_it_was_asked_and_draws_drift_only_where_there_is(run: Path) -> None:
    every, final, drift = (
        section(page(run), f"magicbrush/{name}")
        for name in ("all-turns", "final-turn", "iterative-turns")
    )
    assert "starts from the truth of the turn before" in every
    assert "the last picture of each session counts" in final
    assert "starts from the editor's own picture" in " ".join(drift.replace("&#39;", "'").split())
    assert "Drift by turn" in drift
    assert "Drift by turn" not in every + final
    charts = re.findall(r'aria-label="(\w+) by turn: mine ', drift)
    assert charts == ["L1", "SSIM"]


def test_cases_are_chosen_by_the_first_number_worst_first(run: Path) -> None:
    found = sorted(rows(run, "magicbrush/all-turns"), key=lambda row: -row["l1"])
    own = section(page(run), "magicbrush/all-turns")
    told = re.findall(r'<p class="facts">(\S+) <b>L1 ([\d.]+)</b>', own)
    worst = [(row["id"], f"{row['l1']:.4f}") for row in found[:3]]
    best = [(row["id"], f"{row['l1']:.4f}") for row in found[:2:-1]]
    assert told == worst + best
    assert "Of 6 cases." in own


def test_a_card_shows_source_target_and_every_editors_picture(run: Path) -> None:
    worst = max(rows(run, "magicbrush/all-turns"), key=lambda row: row["l1"])
    first = Elements(article(page(run), 0))
    shown = [decode(base64.b64decode(each["src"].partition(",")[2])) for each in first.of("img")]
    session, turn = worst["id"].split("/")
    images = run.parent / "data/images" / session
    source = "input" if turn == "1" else f"output{int(turn) - 1}"
    copied = rows(run, "magicbrush/all-turns", "copy")
    expected = [
        images / f"{session}-{source}.png",
        images / f"{session}-output{turn}.png",
        Path(worst["picture"]),
        next(run / "evaluation/magicbrush" / row["picture"] for row in copied
             if row["id"] == worst["id"]),
    ]  # fmt: skip
    assert len(shown) == 4
    for picture_, path in zip(shown, expected, strict=True):
        truth = decode(path.read_bytes())
        assert np.abs(picture_.astype(int) - truth).mean() < 6  # a JPEG of it
    assert f"{worst['l1']:.4f}" in first.texts
    assert f"{worst['ssim']:.4f}" in first.texts


def test_a_final_turn_tells_the_instructions_before_it(run: Path) -> None:
    own = section(page(run), "magicbrush/final-turn")
    assert "after “make it change 1”, “&lt;script&gt;" in own


def test_sessions_are_ranked_by_their_turns_together(run: Path) -> None:
    found: dict[str, list[float]] = {}
    for row in rows(run, "magicbrush/iterative-turns"):
        found.setdefault(row["session"], []).append(row["l1"])
    means = {name: float(np.mean(own)) for name, own in found.items()}
    table = case_tables(run, ["magicbrush/iterative-turns"])["magicbrush/iterative-turns"]
    chosen = extremes(table, "mine", "l1", 5, less=True)
    ranked = sorted(means, key=lambda name: means[name])
    assert (chosen.worst, chosen.best) == (ranked[:0:-1], ranked[:1])
    own = section(page(run), "magicbrush/iterative-turns")
    assert f'<p class="facts">{ranked[-1]} <b>L1 {means[ranked[-1]]:.4f}</b></p>' in own


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    before = page(run)
    assert loop.report(run).read_text("utf-8") == before


def test_without_the_data_only_the_answers_are_shown(run: Path) -> None:
    before, data = page(run), run.parent / "data"
    data.rename(run.parent / "elsewhere")
    try:
        loop.report(run)
        told = f"Sources and targets are not shown: no such folder of data: {data}."
        assert told in Elements(page(run)).texts
        assert len(Elements(article(page(run), 0)).of("img")) == 2
    finally:
        (run.parent / "elsewhere").rename(data)
        (run / "report.html").write_text(before, "utf-8")


def test_a_recorded_picture_that_is_gone_says_so(run: Path) -> None:
    before = page(run)
    worst = max(rows(run, "magicbrush/all-turns"), key=lambda row: row["l1"])
    gone = Path(worst["picture"])
    gone.rename(gone.with_suffix(".away"))
    try:
        loop.report(run)
        assert "the picture cannot be read any more: No such file" in article(page(run), 0)
    finally:
        gone.with_suffix(".away").rename(gone)
        (run / "report.html").write_text(before, "utf-8")


def test_the_gallery_can_be_left_out(run: Path) -> None:
    before = page(run)
    create("report", "html", {"gallery": 0}).write(run, loop.results(run), {})
    assert "<article" not in page(run)
    (run / "report.html").write_text(before, "utf-8")


def single_edits(folder: Path, count: int = 6) -> Path:
    """A folder of single edits of two kinds; some have identical captions."""
    folder.mkdir()
    lines = []
    for at in range(count):
        (folder / f"{at}.png").write_bytes(encode_png(picture(str(at))))
        row = {"id": str(at), "source": f"{at}.png", "target": f"{at}.png", "instruction": "x"}
        same = at == count - 1
        captions = {"source_caption": "a", "target_caption": "a" if same else "b"}
        lines.append(json.dumps({**row, **captions, "task": ("add", "night")[at % 2]}))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def evaluated(folder: Path, editors: list[str], card: Json, **settings: Json) -> str:
    """The page of single edits evaluated by a user's own card."""
    base = {"name": "own", "data": {"layout": "metadata"}, "benchmarks": {"test": {}}}
    path = own_card(folder, **{**base, **card})
    data = single_edits(folder / "data")
    evaluate(path, data, editors, folder / "run", resamples=100, **settings)
    return page(folder / "run")


def test_what_was_left_out_and_what_has_no_number_is_said(tmp_path: Path) -> None:
    card = {"title": EVIL, "exclude": [{"rule": "identical-captions"}]}
    texts = Elements(evaluated(tmp_path, [CHOOSY, "copy"], card, metrics=["l1"])).texts
    assert "1 case: the captions before and after are the same" in texts
    assert "6 cases; the card does not say how many the published test has" in texts
    assert "3 cases, 60%" in texts  # of choosy
    assert (
        "Of 3 cases; 2 more have no such number. Every picture is shown with its own numbers."
        in (" ".join(text.split()) for text in texts)
    )
    assert EVIL in texts


def test_kinds_of_edits_have_their_tables(tmp_path: Path) -> None:
    own = section(evaluated(tmp_path, [DARKER, "copy"], {}, metrics=["l1", "l2"]), "own/test")
    assert "By kind of edit" in own
    assert "own/test: L1 by kind of edit" in own
    assert "The other 1 metric by kind of edit" in own
    assert re.findall(r'<th scope="col">(add|night) <span class="hint">(\d) cases', own) == [
        ("add", "3"), ("night", "3")
    ] * 2  # fmt: skip


def test_a_sweep_is_a_curve_an_editor(tmp_path: Path) -> None:
    sweep = {"setting": "image_guidance", "values": [1, 1.5, 2], "across": "l1", "up": "l2"}
    found = evaluated(tmp_path, [DARKER, "copy"], {"sweep": sweep}, metrics=["l1", "l2"])
    charts = [each["aria-label"] for each in Elements(found).of("svg") if "aria-label" in each]
    assert len(charts) == 1
    assert charts[0].startswith("L2 against L1: darker at 1: ")
    assert all(f">{value}</text>" in found for value in ("1", "1.5", "2"))
    assert "darker@1.5" in found
    assert 'class="value best"' not in found  # no point of a curve is its best
    assert re.search(r"<dt>editors</dt><dd>2</dd>", found)  # and not six


def test_a_judges_words_stand_under_the_pictures(tmp_path: Path) -> None:
    judge = {
        "perspectives": {"following": {"low": 0, "high": 10}, "quality": {"low": 0, "high": 10}},
        "derived": {"overall": {"how": "min", "of": ["following", "quality"]}},
        "published": "a-judge-1",
    }
    verdicts = [
        {"id": str(at), "verdict": {name: {"value": at, "text": f"{EVIL} {at}"} for name in
                                    ("following", "quality")}}
        for at in range(6)
    ]  # fmt: skip
    (tmp_path / "verdicts.jsonl").write_text("\n".join(map(json.dumps, verdicts)))
    found = evaluated(
        tmp_path,
        [DARKER],
        {"judge": judge, "metrics": {}},
        judge=f"recorded:{tmp_path / 'verdicts.jsonl'}",
    )
    texts = Elements(found).texts
    assert f"{EVIL} 0" in texts
    assert any(text.endswith("the published numbers are of a-judge-1") for text in texts)
    told = re.findall(r"<b>overall ([\d.]+)</b>", found)
    assert told == ["0.00", "1.00", "2.00", "5.00", "4.00", "3.00"]


def test_a_card_that_is_gone_leaves_the_rest_of_the_page(tmp_path: Path) -> None:
    evaluated(tmp_path, [DARKER], {}, metrics=["l1"])
    (tmp_path / "card.yaml").unlink()
    loop.report(tmp_path / "run")
    texts = Elements(page(tmp_path / "run")).texts
    assert any("the card of 'own' cannot be read any more" in text for text in texts)
    assert "Worst and best of" in texts


def test_editors_that_were_all_absent_still_give_a_page(tmp_path: Path) -> None:
    found = evaluated(tmp_path, ["gone=python:evaluation_fakes:Absent"], {}, metrics=["l1"])
    assert "get the-weights" in Elements(found).texts
    assert "<article" not in found


def test_pictures_among_many_are_light() -> None:
    noise = generator("noise").integers(0, 256, (900, 600, 3)).astype(np.uint8)
    shown = LightPictures().shown("made", encode_png(noise), "noise")
    data = base64.b64decode(shown.uri.partition(",")[2])
    assert shown.uri.startswith("data:image/jpeg")
    assert decode(data).shape == (256, 171, 3)
    assert len(data) < len(base64.b64decode(exact("made", noise, "noise").uri.partition(",")[2]))


def test_each_picture_of_a_page_is_decoded_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn 1's source is shown in every benchmark, and its target is turn 2's source."""
    decoded: list[str] = []

    def counted(data: bytes) -> Pixels:
        decoded.append(content_hash(data))
        return decode(data)

    monkeypatch.setattr(thumbnails, "decode", counted)
    before = page(run)
    loop.report(run)
    assert page(run) == before
    assert before.count("<img") > len(decoded) == len(set(decoded)) > 0


def test_a_picture_that_cannot_be_read_is_refused_however_often_it_is_shown() -> None:
    lights = LightPictures()
    for _ in range(2):
        with pytest.raises(ImageError, match="not a picture"):
            lights.shown("made", b"a web page", "what was made")
