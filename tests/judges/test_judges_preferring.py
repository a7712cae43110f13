"""Preferences between two runs of one protocol, by a pairwise judge over HTTP."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer
from editloop.cli import app, main
from editloop.errors import EditLoopError, RecipeError, StoreError
from editloop.evaluation.comparing.compare import Comparison, compare_runs
from editloop.evaluation.comparing.page import write_comparison
from editloop.evaluation.comparing.preference_table import print_preferences
from editloop.evaluation.comparing.preference_view import preferred
from editloop.evaluation.comparing.preferring import Preferences, prefer, write_preferences
from editloop.evaluation.evaluate import evaluate
from editloop.images.codec import encode_png, resize
from editloop.judges.judge_data import judge
from editloop.registry import kinds
from editloop.schema import EditRequest, Pixels, Unedited
from editloop.settings import Settings
from evaluation_pages import Elements
from layout_folders import HEIGHT, WIDTH, metadata, picture, png, put

pytestmark = pytest.mark.slow


class Darker:
    """An editor that darkens by 20 levels, except case 0."""

    class Settings(Settings):
        """No settings."""

    name = "darker"
    fingerprint = "darker-1"

    def __init__(self, settings: "Darker.Settings") -> None:
        del settings

    def edit(self, requests: Sequence[EditRequest]) -> list[Pixels | Unedited]:
        return [
            Unedited("it is tired")
            if "number 0" in each.instruction
            else np.clip(each.image.astype(int) - 20, 0, 255).astype(np.uint8)
            for each in requests
        ]


CARD = {
    "name": "small",
    "version": 1,
    "title": "",
    "source": "",
    "about": "",
    "data": {"layout": "metadata"},
    "benchmarks": {"test": {"setting": "independent"}},
    "metrics": {"l1_source": {"kind": "pixels", "target": "l1", "against": "source"}},
}


def reply(better: str) -> str:
    return json.dumps({"reason": f"it is {better}", "better": better})


def likes_dark(asked: FakeRequest) -> str:
    """Prefer the darker one, but return a tie in case 3 and the first position in case 4."""
    number = int(re.findall(r"number (\d)", "\n".join(asked.texts))[-1])
    _, first, second = (float(each.mean()) for each in asked.pictures)
    if number == 3:
        return reply("tie")
    return reply("A" if number == 4 or first < second else "B")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make runs of the copying editor and of the darkening one on six cases."""
    folder = tmp_path_factory.mktemp("runs")
    rows = [
        {"file_name": f"{n}.png", "instruction": f"make it number {n}", "id": str(n)}
        for n in range(6)
    ]
    data = metadata(folder / "data", rows)
    for n in range(6):
        put(data / f"{n}.png", png(shade=n))
    card = folder / "small.yaml"
    card.write_text(yaml.safe_dump(CARD))
    evaluate(card, data, ["copy"], folder / "a")
    evaluate(card, data, ["dark=python:test_judges_preferring:Darker"], folder / "b")
    return folder / "a", folder / "b"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(likes_dark) as running:
        yield running


def spec(server: FakeServer, folder: Path) -> str:
    ledger = folder / "ledger.sqlite"
    return f"preference:fake?base_url={server.base_url}&ledger={ledger}&re_asks=0"


def compared(runs: tuple[Path, Path]) -> Comparison:
    return compare_runs(runs, resamples=100)


def test_wins_ties_and_places_are_counted(
    runs: tuple[Path, Path], server: FakeServer, tmp_path: Path
) -> None:
    (found,) = prefer(compared(runs), spec(server, tmp_path))
    assert (found.benchmark, found.first, found.second) == ("small/test", "copy", "dark")
    assert (found.wins, found.ties) == ((0, 3), 2)
    assert (found.first_place, found.second_place) == (1, 0)
    assert found.share["mean"] == pytest.approx(1 / 5)
    assert found.share["low"] < 1 / 5 < found.share["high"]
    assert found.left_out == {"not edited: it is tired": 1}
    assert found.unscored == {}
    assert server.seen.requests == 10


def test_a_second_time_asks_nothing(
    runs: tuple[Path, Path], server: FakeServer, tmp_path: Path
) -> None:
    first = prefer(compared(runs), spec(server, tmp_path))
    assert prefer(compared(runs), spec(server, tmp_path)) == first
    assert server.seen.requests == 10


def test_a_sample_asks_about_so_many_cases(
    runs: tuple[Path, Path], server: FakeServer, tmp_path: Path
) -> None:
    (found,) = prefer(compared(runs), spec(server, tmp_path), sample=3)
    assert len(found.cases) + sum(found.left_out.values()) == 3
    assert server.seen.requests == 2 * len(found.cases)


def test_what_is_refused_is_unscored_with_its_reason(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    with FakeServer(lambda _: "I'm sorry, I can't help with that.") as server:
        (found,) = prefer(compared(runs), spec(server, tmp_path))
        words = ["compare", *map(str, runs), "--judge", spec(server, tmp_path)]
        ended = CliRunner().invoke(app, words)
    assert (found.share, found.wins, found.ties) == (None, (0, 0), 0)
    assert found.unscored == {"refused: it declines to answer": 5}
    assert ended.exit_code == 1
    assert "error: the judge: nothing was scored: refused: it declines" in ended.output


def test_every_answer_is_written(
    runs: tuple[Path, Path], server: FakeServer, tmp_path: Path
) -> None:
    path = write_preferences(prefer(compared(runs), spec(server, tmp_path)), tmp_path / "out")
    (content,) = json.loads(path.read_bytes())["preferences"]
    said = {each["id"]: each["choice"] for each in content["cases"]}
    assert said == {"1": "second", "2": "second", "3": "tie", "4": "tie", "5": "second"}


def test_the_command_prints_who_is_preferred(
    runs: tuple[Path, Path],
    server: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["editloop", "compare", *map(str, runs), "--judge", spec(server, tmp_path)]
    words += ["--metrics", " l1_source, ", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", words)
    main()
    told = capsys.readouterr().out
    assert "20%" in told
    assert "0 - 3" in told
    assert "1 not asked: not edited: it is tired" in told
    assert (tmp_path / "out/preferences.json").is_file()
    assert "Preferences" in (tmp_path / "out/compare.html").read_text("utf-8")


def test_a_sample_without_a_judge_is_refused(runs: tuple[Path, Path]) -> None:
    said = CliRunner().invoke(app, ["compare", *map(str, runs), "--sample", "2"])
    assert isinstance(said.exception, RecipeError)
    assert "add --judge" in str(said.exception)


def departing(compared: Comparison) -> Comparison:
    """Make the same runs, the second one with fewer steps than its card has."""
    (benchmark,) = compared.benchmarks
    first, second = benchmark.editors
    departs = {"steps": {"given": 20, "card": 100}}
    editors = (first, replace(second, departs=departs))
    return replace(compared, benchmarks=(replace(benchmark, editors=editors),))


def test_an_editor_that_departs_from_its_card_is_marked(
    runs: tuple[Path, Path], server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = compared(runs)
    found = prefer(plain, spec(server, tmp_path))
    print_preferences(departing(plain), found)
    told = capsys.readouterr().out
    assert re.search(r"^ *- dark \*", told, re.MULTILINE)
    assert "* dark departs: steps 20 (card 100)" in told
    print_preferences(plain, found)
    assert "*" not in capsys.readouterr().out


def section(page: Path) -> Elements:
    """Return a page's section on preferences."""
    _, found = page.read_text("utf-8").split("<h3>Preferences</h3>")
    return Elements(found.partition("</section>")[0])


def test_the_page_shows_who_is_preferred_and_why_cases_are_missing(
    runs: tuple[Path, Path], server: FakeServer, tmp_path: Path
) -> None:
    joined = departing(compared(runs))
    found = prefer(joined, spec(server, tmp_path))
    shown = section(write_comparison(joined, tmp_path / "out", found))
    cells = [each.get("class") for each in shown.of("td")]
    assert cells == ["noise", "", "", "", ""]  # one of five cases is too few to tell
    assert {"20%", "0", "3", "2", "1 + 0", "5 cases"} <= set(shown.texts)
    assert {"title": "departs: steps 20 (card 100)"} in shown.of("span")
    assert any("1 not asked: not edited: it is tired" in text for text in shown.texts)


def test_a_page_without_a_judge_says_nothing_of_preferences(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    page = write_comparison(compared(runs), tmp_path).read_text("utf-8")
    assert "preference" not in page.casefold()


def test_names_and_reasons_are_shown_on_the_page_as_text(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    joined = compared(runs)
    evil = "<script>alert(1)</script>"
    (benchmark,) = joined.benchmarks
    given = Preferences(
        benchmark.name, "copy", evil, evil, evil, (1, 0), 0, None, 0, 0, {evil: 1}, {}, []
    )
    page = write_comparison(joined, tmp_path, [given]).read_text("utf-8")
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


@pytest.mark.parametrize(
    ("low", "high", "outcome"), [(0.6, 0.9, "better"), (0.1, 0.4, "worse"), (0.5, 0.9, "noise")]
)
def test_a_share_is_beside_one_half(low: float, high: float, outcome: str) -> None:
    share = {"mean": (low + high) / 2, "low": low, "high": high, "count": 9}
    given = Preferences("b", "x", "y", "j", "v", (1, 0), 0, share, 0, 0, {}, {}, [])
    view = preferred([given])
    assert view is not None
    ((_, _, (gap, *_)),) = view.gaps.rows
    assert (gap.outcome, gap.left, gap.right) == (outcome, 100 * low, 100 * high)


def test_pictures_of_another_size_are_shown_in_their_sources(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    for n in range(6):
        put(outputs / f"{n}.png", encode_png(resize(picture(shade=n), 2 * HEIGHT, 3 * WIDTH)))
    folder = runs[0].parent
    evaluate(folder / "small.yaml", folder / "data", [f"large=recorded:{outputs}"], tmp_path / "c")
    shapes: set[tuple[int, ...]] = set()

    def tie(asked: FakeRequest) -> str:
        shapes.update(each.shape for each in asked.pictures)
        return reply("tie")

    with FakeServer(tie) as server:
        prefer(compare_runs([runs[0], tmp_path / "c"], resamples=100), spec(server, tmp_path))
    assert len(shapes) == 1


def test_runs_by_a_card_of_ones_own_are_compared_from_anywhere(
    runs: tuple[Path, Path], server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs[0].parent)
    evaluate("small.yaml", "data", ["copy"], tmp_path / "c")
    monkeypatch.chdir(tmp_path)
    (found,) = prefer(
        compare_runs([tmp_path / "c", runs[1]], resamples=100), spec(server, tmp_path)
    )
    assert found.wins == (0, 3)


def test_a_judge_of_one_edit_compares_nothing(runs: tuple[Path, Path]) -> None:
    with pytest.raises(RecipeError, match="scores one edit at a time"):
        prefer(compared(runs), "metric")


def test_a_lost_picture_is_named(
    runs: tuple[Path, Path], server: FakeServer, tmp_path: Path
) -> None:
    joined = compared(runs)
    lost = next((runs[1] / "evaluation").rglob("*.png"))
    kept = lost.read_bytes()
    lost.unlink()
    try:
        with pytest.raises(StoreError, match=lost.name):
            prefer(joined, spec(server, tmp_path))
    finally:
        lost.write_bytes(kept)


def test_it_is_a_kind_of_judge_that_scores_no_data(runs: tuple[Path, Path], tmp_path: Path) -> None:
    named = "preference:m?base_url=http://127.0.0.1:9/v1"
    assert "preference" in kinds("judge")
    for use in (named, {"kind": "panel", "judges": [named]}):
        with pytest.raises(EditLoopError, match="compares two edits"):
            judge(runs[0].parent / "data", use, tmp_path / "out", workers=1)
