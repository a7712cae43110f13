from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from editloop.editors.qwen_image_edit import PictureTextProcessor, QwenImageEditEditor
from editloop.errors import UnavailableError
from editloop.schema import Captions, Unedited
from tiny_baselines import photo_request, save_qwen_image_edit

pytestmark = pytest.mark.slow

PLACE = "<|image_pad|>"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("qwen")
    made = (QwenImageEditPipeline, QwenImageEditPlusPipeline)
    return {each: save_qwen_image_edit(base / each.__name__, each) for each in made}


def editor(folder, **settings):
    return QwenImageEditEditor(QwenImageEditEditor.Settings(target=str(folder), **settings))


def asked(**changes):
    return photo_request(7, **{"settings": {"steps": 1, "size": {"side": 64}}, **changes})


@pytest.mark.parametrize("made", [QwenImageEditPipeline, QwenImageEditPlusPipeline])
def test_it_is_the_folder_s_pipeline(folders, made) -> None:
    adapter = editor(folders[made])
    answer = adapter.edit([asked()])[0]
    pipeline = made.from_pretrained(folders[made], processor=None)
    pipeline.processor = adapter._pipeline.processor
    pipeline.set_progress_bar_config(disable=True)
    wanted = pipeline(
        image=Image.fromarray(asked().image),
        prompt=asked().instruction,
        negative_prompt=" ",
        true_cfg_scale=4.0,
        height=64,
        width=64,
        num_inference_steps=1,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    assert type(adapter._pipeline) is made
    resized = np.asarray(wanted.resize((48, 32), Image.Resampling.LANCZOS))
    assert np.abs(answer.astype(int) - resized).max() <= 1


def test_it_follows_instructions_and_seeds_and_keeps_odd_sizes(folders) -> None:
    made = editor(folders[QwenImageEditPlusPipeline], guidance=30)
    odd = {"height": 45, "width": 71, "captions": Captions()}
    usual, again, other, seed = made.edit(
        [
            asked(**odd),
            asked(**odd),
            asked(**odd, instruction="a snowy night, far away from here"),
            asked(**odd, seed=8),
        ]
    )
    assert usual.shape == (45, 71, 3)
    assert np.array_equal(usual, again)
    assert not np.array_equal(usual, other)
    assert not np.array_equal(usual, seed)


def test_reference_pictures_reach_the_pipeline_that_takes_several(folders) -> None:
    further = (np.full((32, 48, 3), 200, np.uint8),)
    made = editor(folders[QwenImageEditPlusPipeline], guidance=30)
    without, with_one = made.edit([asked(), asked(references=further)])
    assert made.uses_references
    assert not np.array_equal(without, with_one)
    first = editor(folders[QwenImageEditPipeline])
    (refused,) = first.edit([asked(references=further)])
    assert not first.uses_references
    assert isinstance(refused, Unedited)


def test_with_references_the_picture_keeps_the_shape_of_its_source(folders) -> None:
    """The pipeline's default is that of the last picture."""
    sizes = []

    def pipeline(*, image, height, width, **_):
        sizes.append((len(image), height, width))
        return SimpleNamespace(images=np.zeros((1, height, width, 3)))

    made = editor(folders[QwenImageEditPlusPipeline])
    made.__dict__["_pipeline"] = pipeline
    tall = (np.zeros((96, 32, 3), np.uint8),)
    made.edit([photo_request(7, settings={"steps": 1}, references=tall)])
    assert sizes == [(2, 832, 1248)]


def test_the_processor_makes_room_for_each_picture_s_tokens(folders) -> None:
    folder = folders[QwenImageEditPipeline]
    tokenizer = editor(folder)._pipeline.tokenizer
    pictures = Qwen2VLImageProcessorPil.from_pretrained(folder / "processor")
    images = [Image.new("RGB", size) for size in ((56, 56), (28, 84))]
    made = PictureTextProcessor(pictures, tokenizer)(
        text=[f"one {PLACE} two {PLACE}", "three"], images=images, padding=True, return_tensors="pt"
    )
    patches = made["image_grid_thw"].prod(dim=1)
    assert made["pixel_values"].shape[0] == patches.sum()
    place = tokenizer.convert_tokens_to_ids(PLACE)
    assert (made["input_ids"] == place).sum(dim=1).tolist() == [patches.sum() // 4, 0]
    assert made["attention_mask"].sum(dim=1)[1] == len("three")
    text = tokenizer.decode(made["input_ids"][0])
    assert text == f"one {PLACE * (patches[0] // 4)} two {PLACE * (patches[1] // 4)}"


def test_left_out_the_pipeline_chooses_the_size(folders) -> None:
    made = editor(folders[QwenImageEditPipeline])
    settings = made.Settings(target="anything")
    assert made.working_size(made._pipeline, 45, 71, settings) == (45, 71)


def test_absent_weights_are_unavailable(tmp_path) -> None:
    assert editor("Qwen/Qwen-Image-Edit").missing().command == "hf download Qwen/Qwen-Image-Edit"
    with pytest.raises(UnavailableError, match="model_index"):
        editor(tmp_path).edit([asked()])
