"""The step `prompt-to-prompt`: candidates of captions, with what was drawn and what acted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from document_blocks import ROOT, blocks
from editloop.errors import RecipeError, UnavailableError
from editloop.generation.prompt_to_prompt import PromptToPrompt
from editloop.images.codec import decode
from editloop.kernel.build import Options, build
from editloop.kernel.steps import Drop, Fail, Keep, StepContext
from editloop.kernel.tasks import StepSpec
from editloop.loop.recipe import Recipe
from editloop.registry import create
from editloop.schema import EditSample, Provenance
from editloop.settings import validate
from editloop.storage.samples import read_samples
from text_worlds import grey
from tiny_baselines import save_stable_diffusion, save_stable_diffusion_xl
from tiny_pipelines import tiny_unet

# diffusers' samplers hand tensors to NumPy in a way that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KIND = "prompt-to-prompt"
SMALL = {"steps": 2, "size": 16, "batch": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_stable_diffusion(tmp_path_factory.mktemp("sd") / "model", tiny_unet())


def step(folder: Path, seed: int = 0, **settings: Any) -> PromptToPrompt:
    given = {"model": str(folder), **SMALL, **settings}
    made: PromptToPrompt = create("build", KIND, given)
    made.setup(StepContext(seed, "train"))
    return made


def texts(name: str = "a", **fields: Any) -> EditSample:
    made = Provenance("triplets", "1", licence="CC0", source_uri="file:3", parameters={"by": "me"})
    captions = {"source_caption": "a cat on a mat", "target_caption": "a dog on a mat"}
    given = {"instruction": "make it a dog", "provenance": made, **captions, **fields}
    return EditSample(name, None, **given)


def kept(outcome: Any) -> tuple[EditSample, ...]:
    assert isinstance(outcome, Keep), outcome
    return outcome.samples


def test_candidates_have_pictures_and_what_was_drawn_and_acted(folder) -> None:
    settings = {"candidates": 3, "share": [0.3, 0.9], "guidance": [2.0, 9.0]}
    made = kept(step(folder, **settings).process([texts()])[0])
    assert [each.id for each in made] == ["a/1", "a/2", "a/3"]
    for each in made:
        assert each.instruction == "make it a dog"
        assert each.source is not None
        assert each.target is not None
        assert decode(each.source.bytes).shape == decode(each.target.bytes).shape == (16, 16, 3)
        assert each.provenance is not None
        facts = each.provenance.parameters
        assert 0.3 <= facts["share"] <= 0.9
        assert 2.0 <= facts["guidance"] <= 9.0
        assert facts["controlled_steps"] == {"self": 1}
        assert (facts["steps"], facts["size"], facts["by"]) == (2, 16, "me")
        assert "cut_captions" not in facts
        assert (each.provenance.licence, each.provenance.source_uri) == ("CC0", "file:3")
    for drawn in ("share", "guidance"):
        assert len({each.provenance.parameters[drawn] for each in made if each.provenance}) == 3
    assert len({each.provenance.seed for each in made if each.provenance}) == 3
    assert len({each.source.bytes for each in made if each.source}) == 3


def test_a_candidate_depends_on_the_seed_and_its_sample_alone(folder) -> None:
    """Wherever it lies in a batch: up to the last bits of floats, which may round to a grey."""
    usual = step(folder, candidates=3)
    beside = kept(usual.process([texts("x"), texts()])[1])
    alone = kept(usual.process([texts()])[0])
    assert kept(usual.process([texts()])[0]) == alone
    for first, second in zip(beside, alone, strict=True):
        assert (first.id, first.provenance) == (second.id, second.provenance)
        for one, other in ((first.source, second.source), (first.target, second.target)):
            assert one is not None
            assert other is not None
            assert np.abs(decode(one.bytes).astype(int) - decode(other.bytes)).max() <= 1
    other = kept(step(folder, seed=1, candidates=3).process([texts()])[0])
    assert {each.source for each in other}.isdisjoint({each.source for each in alone})


def test_hertz_records_both_attentions_and_a_single_candidate_keeps_its_id(folder) -> None:
    made = kept(step(folder, mode="hertz", share=[0.7, 0.7]).process([texts()])[0])
    assert [each.id for each in made] == ["a"]
    assert made[0].provenance is not None
    assert made[0].provenance.parameters["controlled_steps"] == {"self": 1, "cross": 2}


def test_a_turbo_step_without_guidance_on_xl(tmp_path) -> None:
    folder = save_stable_diffusion_xl(tmp_path / "xl")
    made = step(folder, steps=1, guidance=[1, 1], share=[0.1, 0.9]).process([texts()])
    (pair,) = kept(made[0])
    assert pair.provenance is not None
    assert pair.provenance.parameters["controlled_steps"] == {"self": 1}
    assert pair.source != pair.target


@pytest.mark.parametrize(
    ("sample", "code", "words"),
    [
        (texts(target_caption=None), "caption", "no target caption.*instruct-from-captions"),
        (texts(source_caption=""), "caption", "no source caption.*`triplets`"),
        (replace(texts(), source=grey(1)), "picture", "has a source picture.*texts alone"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_fix(folder, sample, code, words) -> None:
    outcomes = step(folder).process([sample, texts("b")])
    assert isinstance(outcomes[0], Fail)
    assert outcomes[0].code == code
    assert re.search(words, outcomes[0].message)
    assert [each.id for each in kept(outcomes[1])] == ["b"]


def test_captions_that_the_model_reads_alike_are_dropped_and_cut_ones_recorded(folder) -> None:
    long = "word " * 20
    same = texts("same", target_caption="A CAT on a mat")
    behind = texts("behind", source_caption=long + "cat", target_caption=long + "dog")
    before = texts("before", source_caption="a cat " + long, target_caption="a dog")
    outcomes = step(folder).process([same, behind, before])
    assert outcomes[:2] == [Drop("the model reads the same in both captions")] * 2
    (made,) = kept(outcomes[2])
    assert made.provenance is not None
    assert made.provenance.parameters["cut_captions"] == ["source"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"share": [0.9, 0.1]}, "the lower one first"),
        ({"share": [0.1, 1.1]}, "0..1"),
        ({"share": [0, 0]}, "controls none of 2 steps"),
        ({"mode": "hertz", "steps": 1, "share": [0, 0.4]}, "controls none of 1 steps"),
        ({"guidance": [0.4, 0.8]}, r"below 1 there is none.*\[1, 1\]"),
        ({"guidance": [9, 3]}, "the lower one first"),
    ],
)
def test_settings_that_cannot_act_are_refused(folder, settings, words) -> None:
    with pytest.raises(RecipeError, match=words):
        step(folder, **settings)


def test_a_size_or_model_that_makes_no_pairs_is_refused(folder, tmp_path) -> None:
    with pytest.raises(RecipeError, match="no pictures of this size: size: 17"):
        step(folder, size=17).process([texts()])
    with pytest.raises(UnavailableError, match="hf download nobody/nothing"):
        step("nobody/nothing")
    editing = save_stable_diffusion(tmp_path / "editing", tiny_unet(8))
    with pytest.raises(RecipeError, match="8 input channels, but 4 are needed"):
        step(editing).process([texts()])


def test_its_identity_is_the_weights_and_not_where_they_are(folder, tmp_path) -> None:
    copied = tmp_path / "copy"
    copied.symlink_to(folder)
    assert step(copied).parameters == step(folder).parameters
    other = save_stable_diffusion(tmp_path / "other", tiny_unet(seed=1))
    assert step(other).parameters != step(folder).parameters
    assert step(folder, share=[0.2, 0.9]).parameters != step(folder).parameters


def test_the_page_s_recipe_has_valid_settings() -> None:
    (text,) = (each for each in blocks("yaml", ROOT / "docs/generation.md") if KIND in each)
    recipe = validate(Recipe, yaml.safe_load(text), where="the page")
    (entry,) = (each for each in recipe.build if each.kind == KIND)
    assert validate(PromptToPrompt.Settings, entry.own, where="the page").candidates == 4


def test_a_build_from_triplets_ends_in_pairs(folder, tmp_path) -> None:
    rows = tmp_path / "texts.jsonl"
    rows.write_text(
        '{"input": "a cat", "edit": "make it a dog", "output": "a dog"}\n'
        '{"input": "a cat", "edit": "keep it", "output": "a cat"}\n'
    )
    sources = [StepSpec("source", "texts", "triplets", {"path": str(rows)})]
    steps = [StepSpec("build", "pairs", KIND, {"model": str(folder), **SMALL})]
    build(sources, steps, out=tmp_path / "out", options=Options(workers=0))
    (made,) = read_samples(tmp_path / "out" / "data", "train")
    assert made.source is not None
    assert made.target is not None
    assert not np.array_equal(decode(made.source.bytes), decode(made.target.bytes))
