"""Protocol cards: strict, documented, identified by what can change a number."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from editloop.cli import app
from editloop.errors import RecipeError
from editloop.evaluation.protocol.card import listing, read_protocol
from editloop.evaluation.protocol.exclusions import excluded
from editloop.evaluation.protocol.measures import protocol_metrics
from editloop.evaluation.protocol.sizes import sizes_of
from editloop.schema import EditSample, Image
from editloop.sources.layouts import LAYOUTS
from evaluation_cards import own_card

NAMES = [card.name for card in listing()]


def test_the_protocols_of_the_field_have_cards() -> None:
    assert {
        "magicbrush",
        "emu-edit",
        "real-edit",
        "hq-edit",
        "instruct-pix2pix",
        "pie-bench",
        "gedit",
        "imgedit",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_cards_layout_and_metrics_exist(name: str) -> None:
    card = read_protocol(name)
    assert card.data.layout in LAYOUTS
    assert set(protocol_metrics(card, (), "fp32")) == set(card.metrics)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_with_editing_settings_says_for_whom_they_were_published(name: str) -> None:
    card = read_protocol(name)
    assert bool(card.editing) == bool(card.editing_for)


def test_cards_have_fingerprints_of_their_own() -> None:
    assert len({read_protocol(name).fingerprint for name in NAMES}) == len(NAMES)


def test_words_for_people_leave_the_fingerprint_alone(tmp_path: Path) -> None:
    published = read_protocol("magicbrush")
    reworded = read_protocol(own_card(tmp_path, title="Something else", about="In other words."))
    assert reworded.fingerprint == published.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"editing_for": ["sdxl"]},
        {"editing": {"steps": 50}},
        {"metrics": {"l1": {"kind": "pixels"}}},
    ],
)
def test_what_can_change_a_number_changes_the_fingerprint(tmp_path: Path, change: dict) -> None:
    assert read_protocol(own_card(tmp_path, **change)).fingerprint != (
        read_protocol("magicbrush").fingerprint
    )


def test_a_card_says_which_size_each_number_sees() -> None:
    assert sizes_of(read_protocol("magicbrush")) == {
        **dict.fromkeys(("l1", "l2"), "resized to the target's size"),
        **dict.fromkeys(("clip_i", "dino", "clip_t"), "as edited"),
    }
    assert sizes_of(read_protocol("pie-bench"))["structure_distance"] == (
        "resized to the source's size"
    )
    assert sizes_of(read_protocol("gedit")) == {"judge": "resized to the source's size"}
    assert "own size" in sizes_of(read_protocol("hq-edit"))["judge"]
    assert "height of 512 px" in sizes_of(read_protocol("real-edit"))["judge"]
    printed = CliRunner().invoke(app, ["protocols", "magicbrush"]).output
    assert "clip_i: as edited" in printed
    assert "l1: resized to the target's size" in printed


def test_instruct_pix2pix_s_released_evaluation_is_a_card_of_its_own() -> None:
    paper, released = map(read_protocol, ("instruct-pix2pix", "instruct-pix2pix-released"))
    for name, metric in paper.metrics.items():
        assert released.metrics[name] == {**metric, "values": "signed"}
    same = {"name", "version", "title", "about", "metrics"}
    assert released.model_dump(exclude=same) == paper.model_dump(exclude=same)


@pytest.mark.parametrize("seed", [-1, 2**63, "fixed", 1.5])
def test_a_seed_that_no_generator_takes_is_refused(tmp_path: Path, seed: object) -> None:
    with pytest.raises(RecipeError, match="seed"):
        read_protocol(own_card(tmp_path, seed=seed))


def test_an_unknown_protocol_is_guessed_at() -> None:
    with pytest.raises(RecipeError, match="did you mean 'magicbrush'"):
        read_protocol("magicbrsh")


def test_a_cards_mistakes_name_their_place(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="benchmarcks"):
        read_protocol(own_card(tmp_path, benchmarcks={}))
    sweep = {"setting": "image_guidance", "values": [1, 2], "across": "clip", "up": "l1"}
    with pytest.raises(RecipeError, match="sweep names no metric of the card: 'clip'"):
        read_protocol(own_card(tmp_path, sweep=sweep))


def test_a_metric_that_the_card_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(RecipeError, match="it has l1, l2, clip_i, dino, clip_t"):
        protocol_metrics(read_protocol("magicbrush"), ["lpips"], "fp32")


def test_a_spec_adds_a_metric_under_its_name() -> None:
    metrics = protocol_metrics(read_protocol("magicbrush"), ["l1", "own=pixels:ssim"], "fp32")
    assert list(metrics) == ["l1", "own"]


def sample(source: str | None, target: str | None) -> EditSample:
    return EditSample("a", Image(b""), "x", source_caption=source, target_caption=target)


def test_emu_edits_broken_cases_are_left_out() -> None:
    rules = read_protocol("emu-edit").exclude
    assert excluded(sample("A train station in city", "a red train"), rules) == "caption-is"
    assert excluded(sample("a dog", "A dog."), rules) == "identical-captions"
    assert excluded(sample("a dog", "a cat"), rules) is None
    assert excluded(sample(None, None), rules) is None


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"editing": {"stepz": 1}}, "unknown editing setting 'stepz'"),
        ({"editing": {"text_guidance": float("nan")}}, "editing|JSON|float"),
        ({"metrics": {"l1": {"target": "l1"}}}, "metrics.l1 has no `kind`"),
        ({"metrics": {"id": {"kind": "pixels", "target": "l1"}}}, "'id' is taken"),
        ({"benchmarks": {"a/b": {}}}, "'a/b' is not a valid name"),
    ],
)
def test_a_card_that_cannot_work_is_refused_when_it_is_read(
    tmp_path: Path, change: dict, cause: str
) -> None:
    with pytest.raises(RecipeError, match=cause):
        read_protocol(own_card(tmp_path, **change))
