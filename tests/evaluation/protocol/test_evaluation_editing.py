"""A card's editing settings reach the editors that they were published for, and no others."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from editloop.commands.terminal import print_results
from editloop.errors import RecipeError
from editloop.evaluation.comparing.compare import compare_runs
from editloop.evaluation.comparing.page import write_comparison
from editloop.evaluation.comparing.table import print_comparison
from editloop.evaluation.evaluate import evaluate
from editloop.evaluation.protocol.card import read_protocol
from editloop.evaluation.protocol.editing import editing_of
from editloop.evaluation.protocol.seats import seats_of
from editloop.registry import parse_spec
from editloop.schema import Json
from editloop.settings import Settings
from evaluation_cards import own_card
from evaluation_fakes import Fake, Still
from magicbrush_data import make_split
from tiny_models import base

KONTEXT = "kontext=python:test_evaluation_editing:Kontext"
CLASSIC = "classic=python:test_evaluation_editing:Classic"
WHY = "the card's are for sd, not flux-kontext"


class Kontext(Still):
    """An editor of another family than the cards' settings are for."""

    family = "flux-kontext"

    class Settings(Settings):
        steps: int = 28
        guidance: float = 2.5

    def __init__(self, settings: "Kontext.Settings") -> None:
        self.own = settings
        self.name = self.fingerprint = f"{self.family}-{settings.steps}"

    def settled(self, card: Mapping[str, Json]) -> Settings:
        known = {name: card[name] for name in ("steps",) if name in card}
        return type(self.own)(**{**known, **self.own.model_dump(exclude_unset=True)})


class Classic(Kontext):
    """An editor of the family that the cards' settings are for."""

    family = "sd"


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    Fake.asked.clear()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_split(tmp_path_factory.mktemp("data"), (1,))


def editing(results: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    facts = results["benchmarks"]["magicbrush/all-turns"]["editors"]
    found: Mapping[str, Json] = next(each for each in facts if each["name"] == name)
    return found["editing"]


def run(data: Path, out: Path, *editors: str, card: str | Path = "magicbrush") -> dict[str, Json]:
    return evaluate(card, data, editors, out, metrics=["l1"], resamples=100)


def test_the_results_say_which_settings_each_editor_used_and_why(
    data: Path, tmp_path: Path
) -> None:
    results = run(data, tmp_path, KONTEXT, CLASSIC, f"{CLASSIC.replace('=', '-20=')}?steps=20")
    assert editing(results, "kontext") == {
        "family": "flux-kontext",
        "own": True,
        "why": WHY,
        "settings": {
            "steps": {"value": 28, "from": "default"},
            "guidance": {"value": 2.5, "from": "default"},
        },
    }
    classic, changed = editing(results, "classic"), editing(results, "classic-20")
    assert (classic["own"], classic["why"]) == (False, "the card's are for sd")
    assert classic["settings"]["steps"] == {"value": 100, "from": "card"}
    assert changed["settings"]["steps"] == {"value": 20, "from": "SPEC"}
    assert (
        json.loads((tmp_path / "results.json").read_text())["benchmarks"] == (results["benchmarks"])
    )


def test_requests_carry_the_cards_settings_for_its_family_only(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "one", KONTEXT)
    assert [dict(request.settings) for request in Fake.asked] == [{}]
    Fake.asked.clear()
    run(data, tmp_path / "two", CLASSIC)
    assert [request.settings["steps"] for request in Fake.asked] == [100]


def test_a_card_that_names_no_family_is_for_every_editor(data: Path, tmp_path: Path) -> None:
    card = own_card(tmp_path, editing={"steps": 9}, editing_for=[])
    results = run(data, tmp_path / "out", KONTEXT, card=card)
    found = editing(results, "kontext")
    assert found["settings"]["steps"] == {"value": 9, "from": "card"}
    assert found["why"] == "the card sets them for every editor"


def test_report_terminal_and_comparison_say_it(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = f"uses its own settings ({WHY}): guidance 2.5, steps 28"
    results = run(data, tmp_path / "one", KONTEXT, CLASSIC)
    page = (tmp_path / "one/report.html").read_text("utf-8").replace("&#39;", "'")
    assert told in page
    assert "guidance 2.5, steps 100; the card's are for sd" in page
    print_results(results)
    assert f"kontext {told}" in " ".join(capsys.readouterr().out.split())
    run(data, tmp_path / "two", f"other={KONTEXT.partition('=')[2]}")
    comparison = compare_runs([tmp_path / "one", tmp_path / "two"], resamples=100)
    print_comparison(comparison)
    assert f"* kontext {told}" in " ".join(capsys.readouterr().out.split())
    page = write_comparison(comparison, tmp_path / "compared").read_text("utf-8")
    assert page.replace("&#39;", "'").count(told) >= 2
    written = json.loads((tmp_path / "compared/compare.json").read_text())
    (kontext,) = (
        each
        for each in written["benchmarks"]["magicbrush/all-turns"]["editors"]
        if each["name"] == "kontext"
    )
    assert kontext["editing"]["why"] == WHY


def test_an_editor_without_the_swept_setting_is_refused(data: Path, tmp_path: Path) -> None:
    sweep = {"setting": "image_guidance", "values": [1.0, 1.5], "across": "l1", "up": "l2"}
    with pytest.raises(RecipeError, match="sweeps image_guidance, which this editor does not take"):
        run(data, tmp_path / "out", CLASSIC, card=own_card(tmp_path, sweep=sweep))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "own", "steps"),
    [
        ("diffusion:{sd-edit}", False, 100),
        ("diffusion:{sdxl-edit}", True, 20),
        ("diffusion:{flux-kontext}", True, 28),
        ("flux-kontext:{flux-kontext}", True, 28),
        ("sdedit:{sd}", True, 50),
    ],
)
def test_models_of_other_families_keep_their_defaults(
    tmp_path: Path, spec: str, own: bool, steps: int
) -> None:
    kind, _, name = spec.partition(":")
    target = base(tmp_path, name.strip("{}"))
    protocol = read_protocol("magicbrush")
    (seat,) = seats_of(protocol, [f"{kind}:{target}"])
    found = editing_of(protocol, seat, parse_spec(f"{kind}:{target}", "editor").create("editor"))
    assert (found.facts["own"], found.facts["settings"]["steps"]["value"]) == (own, steps)
    assert found.asked == ({} if own else protocol.editing)
