"""Golden tests: each similarity recomputed with the model alone, as in the protocols."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, CLIPModel

from editloop.errors import RecipeError
from editloop.metrics.clip import ClipMetric
from editloop.metrics.embeddings import Embeddings, EncodeCounts
from editloop.registry import parse_spec
from editloop.runtime.seeding import generator
from editloop.schema import Captions, EditedPair, Pixels, Score, Unscored
from released_rules import CLIP_MEAN, CLIP_STD, cosine, released_input
from tiny_encoders import SIDE

CAPTIONS = Captions("a red house", "a blue house in the snow")


class Bare:
    """The released evaluators' computation: one input at a time, with the model alone."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def image(self, pixels: Pixels) -> np.ndarray:
        return self.encoded(released_input(pixels, SIDE, SIDE, CLIP_MEAN, CLIP_STD))

    def whole_image(self, pixels: Pixels) -> np.ndarray:
        values = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        values = torch.nn.functional.interpolate(values, SIDE, mode="bicubic", align_corners=False)
        mean, std = (torch.tensor(each)[:, None, None] for each in (CLIP_MEAN, CLIP_STD))
        return self.encoded((values - mean) / std)

    def encoded(self, values: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            pooled = self.model.vision_model(pixel_values=values).pooler_output
            return self.model.visual_projection(pooled)[0].numpy()

    def text(self, caption: str) -> np.ndarray:
        with torch.no_grad():
            ids = self.tokenizer(caption, return_tensors="pt").input_ids
            pooled = self.model.text_model(input_ids=ids).pooler_output
            return self.model.text_projection(pooled)[0].numpy()


def picture(name: str, height: int = 45, width: int = 60) -> Pixels:
    rng = generator("clip", name)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def pair(**changes: object) -> EditedPair:
    mask = np.zeros((45, 60), np.uint8)
    mask[5:30, 10:50] = 255
    fields = {
        "id": "a",
        "source": picture("source"),
        "instruction": "paint it",
        "edited": picture("edited"),
        "target": picture("target"),
        "mask": mask,
        "captions": CAPTIONS,
        **changes,
    }
    return EditedPair(**fields)


def metric(target: str, folder: Path, **settings: str) -> ClipMetric:
    return ClipMetric(ClipMetric.Settings(target=target, model=str(folder), **settings))


def value(metric: ClipMetric, shown: EditedPair) -> float:
    (score,) = metric.measure([shown])
    assert isinstance(score, Score), score
    return score.value


def reason(metric: ClipMetric, shown: EditedPair) -> str:
    (score,) = metric.measure([shown])
    assert isinstance(score, Unscored), score
    return score.reason


def direction(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return after / np.linalg.norm(after) - before / np.linalg.norm(before)


@pytest.mark.parametrize("against", ["target", "source"])
def test_image_similarity(clip_folder: Path, against: str) -> None:
    bare, shown = Bare(clip_folder), pair()
    wanted = cosine(bare.image(shown.edited), bare.image(picture(against)))
    made = value(metric("image", clip_folder, against=against), shown)
    assert made == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("target", "shown", "said"),
    [("text", "edited", "a blue house in the snow"), ("text_source", "source", "a red house")],
)
def test_text_similarity(clip_folder: Path, target: str, shown: str, said: str) -> None:
    bare = Bare(clip_folder)
    wanted = cosine(bare.image(picture(shown)), bare.text(said))
    assert value(metric(target, clip_folder), pair()) == pytest.approx(wanted, abs=1e-6)


def test_direction_similarity_is_of_embeddings_of_length_one(clip_folder: Path) -> None:
    bare = Bare(clip_folder)
    seen = direction(bare.image(picture("source")), bare.image(picture("edited")))
    said = direction(bare.text("a red house"), bare.text("a blue house in the snow"))
    made = value(metric("direction", clip_folder), pair())
    assert made == pytest.approx(cosine(seen, said), abs=1e-6)


def test_without_a_crop_it_is_instruct_pix2pixs(clip_folder: Path) -> None:
    bare = Bare(clip_folder)
    wanted = cosine(bare.whole_image(picture("edited")), bare.whole_image(picture("source")))
    made = value(metric("image", clip_folder, against="source", crop="none"), pair())
    assert made == pytest.approx(wanted, abs=1e-6)


def test_signed_values_are_those_of_instruct_pix2pix_s_released_evaluation(
    clip_folder: Path,
) -> None:
    bare, shown = Bare(clip_folder), pair()
    mean, std = (torch.tensor(each)[:, None, None] for each in (CLIP_MEAN, CLIP_STD))

    def released(pixels: Pixels) -> np.ndarray:
        values = 2 * torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255 - 1
        values = torch.nn.functional.interpolate(values, SIDE, mode="bicubic", align_corners=False)
        return bare.encoded((values - mean) / std)

    own = metric("image", clip_folder, against="source", crop="none", values="signed")
    expected = cosine(released(shown.edited), released(shown.source))
    assert value(own, shown) == pytest.approx(expected, abs=1e-5)
    unit = metric("image", clip_folder, against="source", crop="none")
    assert abs(value(unit, shown) - expected) > 1e-4


def test_long_captions_are_cut_only_where_a_released_evaluation_cuts_them(
    clip_folder: Path,
) -> None:
    """By `clip.tokenize(truncate=True)`: the first tokens, and the end token in the last place."""
    bare, long = Bare(clip_folder), "a red house " * 40
    longest = bare.model.config.text_config.max_position_embeddings
    ids = bare.tokenizer(long, return_tensors="pt", verbose=False).input_ids
    ids = torch.cat([ids[:, : longest - 1], ids[:, -1:]], dim=1)
    with torch.no_grad():
        pooled = bare.model.text_model(input_ids=ids).pooler_output
        text = bare.model.text_projection(pooled)[0].numpy()
    shown, store = pair(captions=Captions(None, long)), Embeddings()
    cut, kept = (metric("text", clip_folder, long_texts=each) for each in ("cut", "unscored"))
    cut.use(store)
    kept.use(store)
    expected = cosine(bare.image(shown.edited), text)
    assert value(cut, shown) == pytest.approx(expected, abs=1e-5)
    assert isinstance(kept.measure([shown])[0], Unscored)  # although the store holds it, cut


def test_the_edited_region_is_the_picture_with_the_rest_black(clip_folder: Path) -> None:
    bare, shown = Bare(clip_folder), pair()
    region = np.uint8(shown.edited * (shown.mask[:, :, None] > 127))
    wanted = cosine(bare.image(region), bare.text("a blue house in the snow"))
    made = value(metric("text", clip_folder, region="inside"), shown)
    assert made == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("mask", [None, np.full((45, 60), 255, np.uint8)])
def test_a_mask_that_limits_nothing_leaves_the_whole_picture(
    clip_folder: Path, mask: np.ndarray | None
) -> None:
    whole = value(metric("text", clip_folder), pair())
    assert value(metric("text", clip_folder, region="inside"), pair(mask=mask)) == whole


def test_nothing_lies_inside_a_black_mask(clip_folder: Path) -> None:
    black = pair(mask=np.zeros((45, 60), np.uint8))
    assert "nothing lies inside" in reason(metric("text", clip_folder, region="inside"), black)


def test_an_edited_picture_of_another_size_is_taken_as_it_is(clip_folder: Path) -> None:
    bare, shown = Bare(clip_folder), pair(edited=picture("large", 80, 64))
    wanted = cosine(bare.image(shown.edited), bare.image(shown.target))
    assert value(metric("image", clip_folder), shown) == pytest.approx(wanted, abs=1e-6)


def test_a_region_of_a_picture_of_another_size_is_unscored_or_resized(clip_folder: Path) -> None:
    inside = metric("text", clip_folder, region="inside")
    assert -1 <= value(inside, pair(edited=picture("large", 80, 64))) <= 1
    source = metric("text_source", clip_folder, region="inside")
    assert "the mask has 60x45 px" in reason(source, pair(source=picture("large", 80, 64)))


def test_an_untouched_copy_has_no_direction(clip_folder: Path) -> None:
    shown = pair(edited=picture("source"))
    assert "the two pictures have the same embedding" in reason(
        metric("direction", clip_folder), shown
    )


def test_equal_captions_have_no_direction(clip_folder: Path) -> None:
    shown = pair(captions=Captions("a house", "a house"))
    assert "the two captions have the same embedding" in reason(
        metric("direction", clip_folder), shown
    )


@pytest.mark.parametrize(
    ("target", "changes", "said"),
    [
        ("image", {"target": None}, "the case has no target"),
        ("text", {"captions": Captions("a house", None)}, "the case has no target caption"),
        ("text_source", {"captions": Captions("", "a house")}, "the case has no source caption"),
        ("direction", {"captions": Captions(None, "a house")}, "the case has no source caption"),
        ("direction", {"captions": Captions("a house", None)}, "the case has no target caption"),
        ("text", {"captions": Captions(None, "a" * 80)}, "has 82 tokens"),
    ],
)
def test_what_is_absent_or_too_long_is_unscored(
    clip_folder: Path, target: str, changes: dict[str, object], said: str
) -> None:
    assert said in reason(metric(target, clip_folder), pair(**changes))


def test_unscored_pairs_do_not_shift_the_others(clip_folder: Path) -> None:
    shown = [pair(), pair(captions=Captions()), pair(edited=picture("other"))]
    clip = metric("text", clip_folder)
    together = clip.measure(shown)
    assert isinstance(together[1], Unscored)
    assert [together[0], together[2]] == [clip.measure([shown[0]])[0], clip.measure([shown[2]])[0]]


def test_pictures_that_are_not_needed_may_be_empty(clip_folder: Path) -> None:
    nothing = np.zeros((0, 0, 3), np.uint8)
    clip = metric("text", clip_folder)
    assert clip.needs == {"edited", "captions"}
    assert isinstance(clip.measure([pair(source=nothing, target=nothing)])[0], Score)


def test_metrics_that_share_a_store_encode_each_thing_once(clip_folder: Path) -> None:
    store = Embeddings()
    for target in ("image", "text", "text_source", "direction"):
        clip = metric(target, clip_folder)
        clip.use(store)
        clip.measure([pair(), pair(edited=picture("other"))])
    counts = store.counts
    assert (counts.images_encoded, counts.texts_encoded) == (4, 2)
    assert counts != EncodeCounts(images_encoded=4, texts_encoded=2)


def test_half_precision_is_near(clip_folder: Path) -> None:
    exact = value(metric("image", clip_folder), pair())
    half = value(metric("image", clip_folder, precision="bf16"), pair())
    assert half == pytest.approx(exact, abs=0.02)
    assert half != exact


def test_a_spec_names_it(clip_folder: Path) -> None:
    made = parse_spec(f"clip:text?model={clip_folder}&region=inside", "metric").create("metric")
    assert isinstance(made, ClipMetric)
    assert (made.name, made.weights) == ("clip_text_inside", (str(clip_folder),))
    assert made.needs == {"edited", "captions", "mask"}
    assert made.missing() is None


def test_absent_weights_are_said_before_anything_is_measured() -> None:
    error = ClipMetric(ClipMetric.Settings(target="image", model="openai/absent")).missing()
    assert error is not None
    assert error.command == "hf download openai/absent"


def test_an_unknown_similarity_is_refused() -> None:
    with pytest.raises(RecipeError, match="text_source"):
        parse_spec("clip:texts", "metric").create("metric")
