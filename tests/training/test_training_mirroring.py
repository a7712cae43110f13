"""Edits whose mirror image would contradict their words are never mirrored."""

from dataclasses import replace

import numpy as np
import pytest

from editloop.schema import EditSample, Image, Provenance, Score
from editloop.settings import RecipeError, validate
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from editloop.training.direct_samples import Augmentation, DirectSamples
from editloop.training.latent_samples import LatentSamples
from editloop.training.mirroring import Mirroring
from latent_data import SQUARE, model_at, opened, published_rows, varied

SIDES = [
    "move the cup to the left",
    "Make the RIGHTMOST dog black",
    "crop the top-left corner",
    "put a star in the upper_right corner",
    "rotate it clockwise",
    "set the clock to 3 o\u2019clock",
    "ｌｅｆｔ",
    "把猫移到左边",
    "在右上角加一个太阳",
    "顺时针旋转",
    "mets un chapeau à l'homme de gauche",
    "déplace-le à DROITE",
    "die linke Tasse rot machen",
    "im Uhrzeigersinn drehen",
    "añade un gato a la izquierda",
    "mueve la taza a la derecha",
    "sposta la tazza a sinistra",
    "coloque à direita",
    "сделай левую чашку красной",
    "добавь кота справа",
    "左の猫を黒くして",
    "오른쪽에 나무를 추가해",
    "ضع الكوب على اليسار",
    "सोफे के बाईं ओर",
    "sağdaki adamı kaldır",
    "zet de hond links",
    "postaw kota po lewej",
    "gör den vänstra bollen blå",
    "ilagay sa kaliwa",
    "rotate the wheel counter-clockwise",
]
STRAIGHT = [
    "make the picture brighter",
    "a bright upright bulb",
    "replace the ball with a balloon",
    "use a solid red background",
    "make it level",
    "把天空变成红色",
    "ajoute un chapeau rouge",
]


def edit(instruction: str, **changes: object) -> EditSample:
    return EditSample(id="a", source=Image(b""), instruction=instruction, **changes)


@pytest.mark.parametrize("instruction", SIDES)
def test_words_that_name_a_side_rule_it_out(instruction: str) -> None:
    assert not Mirroring().allows(edit(instruction))


@pytest.mark.parametrize("instruction", STRAIGHT)
def test_other_words_do_not(instruction: str) -> None:
    assert Mirroring().allows(edit(instruction))


@pytest.mark.parametrize(
    "changes",
    [
        {"source_caption": "a man on the left"},
        {"target_caption": "the right eye is blue"},
        {"inverse_instruction": "move it left"},
        {"edit_object": "left shoe"},
        {"scores": {"preserving": Score(2.0, text="the left window changed")}},
    ],
    ids=str,
)
def test_every_text_of_an_edit_counts(changes) -> None:
    assert not Mirroring().allows(edit("make it red", **changes))


@pytest.mark.parametrize(
    "label", ["text", "text_change", "Text-Editing", "TextEditing", "文字修改"]
)
def test_text_in_the_picture_rules_it_out_by_the_edit_type(label: str) -> None:
    made = Provenance("gedit", "1", parameters={"task_type": label})
    assert not Mirroring().allows(edit("make it say open", provenance=made))
    other = replace(made, parameters={"task_type": "texture"})
    assert Mirroring().allows(edit("make it wooden", provenance=other))


def test_a_users_own_words_count() -> None:
    assert Mirroring().allows(edit("vers babord"))
    assert not Mirroring(("Babord*",)).allows(edit("vers BABORDS"))
    assert Mirroring(("babord",)).allows(edit("vers babords"))


@pytest.mark.parametrize("word", ["", " ", "*"])
def test_words_that_are_none_are_refused(word: str) -> None:
    content = {"base": "b", "side_words": ["tribord", word]}
    with pytest.raises(RecipeError, match="side_words"):
        validate(DiffusionTrainingSettings, content, where="train.tiny")


def told(count: int) -> list[EditSample]:
    """Samples of which every second one names a side."""
    return [
        replace(each, instruction="move it left" if index % 2 else each.instruction)
        for index, each in enumerate(varied(count))
    ]


def test_samples_of_both_kinds_of_reading_obey(tmp_path) -> None:
    model = model_at(tmp_path, "mask")
    cache = LatentSamples(opened(tmp_path, told(4), model=model), model, ("source", "mask"))
    rows = published_rows(tmp_path / "run", told(4))
    direct = DirectSamples(rows, model, SQUARE.framing, ("source",), Augmentation())
    numbers = np.arange(4)
    for samples in (cache, direct):
        found = [samples.read(numbers, seeds)[1].source for seeds in ([1] * 4, None)]
        same = [bool((one == other).all()) for one, other in zip(*found, strict=True)]
        assert same == [False, True] * 2 if samples is cache else True
    flips = [Augmentation().view(told(2)[1], seed).flip for seed in range(20)]
    assert not any(flips)
    assert any(Augmentation().view(told(2)[0], seed).flip for seed in range(20))
