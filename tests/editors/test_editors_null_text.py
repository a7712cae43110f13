import numpy as np
import pytest
import torch
from PIL import Image

from editloop.editors.null_text import NullTextEditor
from editloop.schema import Captions
from tiny_baselines import deep_unet, photo_request, save_stable_diffusion

pytestmark = pytest.mark.slow

SAME = Captions("a photo of a cat", "a photo of a cat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_stable_diffusion(tmp_path_factory.mktemp("sd"), deep_unet())


def edited(folder, captions, steps=4, **settings):
    settings = {"iterations": 0, **settings}
    made = NullTextEditor(NullTextEditor.Settings(target=str(folder), steps=steps, **settings))
    return made.edit([photo_request(captions=captions)])[0].astype(int)


@pytest.fixture(scope="module")
def passed(folder):
    """Return the picture after the autoencoder alone: the result of a perfect inversion."""
    made = NullTextEditor(NullTextEditor.Settings(target=str(folder)))._pipeline
    pixels = made.image_processor.preprocess(Image.fromarray(photo_request().image))
    with torch.no_grad():
        picture = made.vae.decode(made.vae.encode(pixels).latent_dist.mode()).sample
    return made.image_processor.postprocess(picture, output_type="np")[0] * 255


def test_with_equal_captions_and_no_guidance_the_picture_comes_back(tmp_path, passed) -> None:
    """Exact for a network with a constant prediction: its inversion is reversible."""
    steady = deep_unet()
    steady.conv_out.weight.data *= 0
    folder = save_stable_diffusion(tmp_path, steady)
    assert np.abs(edited(folder, SAME, text_guidance=1) - passed).max() < 1


def test_optimising_the_empty_text_brings_the_picture_closer(folder, passed) -> None:
    errors = [
        np.abs(edited(folder, SAME, **settings) - passed).mean()
        for settings in ({"iterations": 0}, {"iterations": 5, "enough": 0})
    ]
    assert errors[1] < errors[0]


def test_more_control_keeps_more_of_the_source(folder) -> None:
    """With all of the source's attention only the values of the words differ."""
    captions = Captions("a photo of a cat", "a photo of a dog")
    source = edited(folder, SAME, local=False)
    free, held = (
        np.abs(edited(folder, captions, cross=share, itself=share, local=False) - source).mean()
        for share in (0, 1)
    )
    assert 0 < held < free


def test_a_swap_and_a_refinement_differ_where_words_do(folder) -> None:
    captions = Captions("a photo of a cat", "a photo of a dog")
    swapped, refined = (
        edited(folder, captions, edit=edit, local=False) for edit in ("auto", "refine")
    )
    assert not np.array_equal(swapped, refined)


def test_captions_of_different_lengths_are_refined(folder) -> None:
    captions = Captions("a photo of a cat", "a photo of a small cat")
    auto, refined = (edited(folder, captions, edit=edit) for edit in ("auto", "refine"))
    assert np.array_equal(auto, refined)


def test_the_network_s_attention_is_its_own_again(folder) -> None:
    made = NullTextEditor(NullTextEditor.Settings(target=str(folder), iterations=0))
    before = made._pipeline.unet.attn_processors
    made.edit([photo_request()])
    assert made._pipeline.unet.attn_processors == before


def test_it_optimises_where_gradients_are_turned_off(folder) -> None:
    made = NullTextEditor(NullTextEditor.Settings(target=str(folder), iterations=1))
    with torch.no_grad():
        inside = made.edit([photo_request()])[0]
    assert np.array_equal(inside, made.edit([photo_request()])[0])
