import numpy as np
import pytest

from editloop.editors.diffedit import DiffEditEditor
from editloop.editors.flux_kontext import FluxKontextEditor
from editloop.editors.inpainting import InpaintEditor
from editloop.editors.leditspp import LeditsEditor
from editloop.editors.null_text import NullTextEditor
from editloop.editors.sdedit import SDEditEditor
from editloop.errors import RecipeError, UnavailableError
from editloop.images.masks import NOWHERE
from editloop.schema import Captions, Unedited
from tiny_baselines import (
    deep_unet,
    photo_request,
    save_flux_kontext,
    save_stable_diffusion,
    save_stable_diffusion_xl,
)
from tiny_pipelines import save_instruct_pix2pix, tiny_unet

CASES = {
    "sdedit": (SDEditEditor, "sd", {}),
    "sdedit-xl": (SDEditEditor, "xl", {}),
    "inpaint-plain": (InpaintEditor, "sd", {}),
    "inpaint-made-for-it": (InpaintEditor, "painting", {}),
    "inpaint-xl": (InpaintEditor, "xl", {}),
    "diffedit": (DiffEditEditor, "sd", {"mask_samples": 2}),
    "ledits++": (LeditsEditor, "sd", {"inversion_steps": 4}),
    "ledits++-xl": (LeditsEditor, "xl", {"inversion_steps": 4}),
    "null-text": (NullTextEditor, "sd", {"iterations": 1}),
    "flux-kontext": (FluxKontextEditor, "flux", {"text_length": 16}),
}
BY_CAPTIONS = [name for name in CASES if name != "flux-kontext"]
EVERY = pytest.mark.parametrize("case", CASES)
# diffusers' multistep scheduler makes an array of a tensor in a way that NumPy 2 deprecates.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("pipelines")
    return {
        "sd": save_stable_diffusion(base / "sd", deep_unet()),
        "painting": save_stable_diffusion(base / "painting", tiny_unet(9)),
        "xl": save_stable_diffusion_xl(base / "xl"),
        "flux": save_flux_kontext(base / "flux"),
    }


@pytest.fixture(scope="module")
def editors(folders):
    """One of each kind, loaded once."""
    return {
        name: made(made.Settings(target=str(folders[folder]), **settings))
        for name, (made, folder, settings) in CASES.items()
    }


@EVERY
def test_the_same_seed_gives_the_same_picture(editors, case) -> None:
    once, again = (editors[case].edit([photo_request(3)])[0] for _ in range(2))
    assert once.dtype == np.uint8
    assert once.std() > 1
    assert np.array_equal(once, again)


@pytest.mark.parametrize("case", [name for name in CASES if name != "null-text"])
def test_another_seed_gives_another_picture(editors, case) -> None:
    made = editors[case].edit([photo_request(3), photo_request(3, seed=4)])
    assert not np.array_equal(*made)


@EVERY
def test_an_odd_photo_keeps_its_size(editors, case) -> None:
    asked = photo_request(height=45, width=71, settings={"steps": 4, "size": {"long_side": 48}})
    assert editors[case].edit([asked])[0].shape == (45, 71, 3)


@EVERY
def test_an_answer_doesn_t_depend_on_what_else_is_asked(editors, case) -> None:
    asked = [photo_request(1), photo_request(2, height=48, width=32), photo_request(3)]
    together = editors[case].edit(asked)
    for request, answer in zip(asked, together, strict=True):
        assert np.array_equal(editors[case].edit([request])[0], answer)


@pytest.mark.parametrize("case", BY_CAPTIONS)
def test_the_target_caption_matters_and_the_instruction_does_not(editors, case) -> None:
    usual, caption, instruction = editors[case].edit(
        [
            photo_request(),
            photo_request(captions=Captions("a photo of a cat", "a blue bird, high above")),
            photo_request(instruction="something else"),
        ]
    )
    assert not np.array_equal(usual, caption)
    assert np.array_equal(usual, instruction)


def test_the_instruction_matters_where_an_editor_follows_it(editors) -> None:
    usual, other, uncaptioned = editors["flux-kontext"].edit(
        [
            photo_request(),
            photo_request(instruction="a snowy night"),
            photo_request(captions=Captions()),
        ]
    )
    assert not np.array_equal(usual, other)
    assert np.array_equal(usual, uncaptioned)


@pytest.mark.parametrize("case", BY_CAPTIONS)
@pytest.mark.parametrize("captions", [Captions(), Captions("a cat"), Captions("a cat", "")])
def test_without_a_target_caption_nothing_is_edited(editors, case, captions) -> None:
    refused, edited = editors[case].edit([photo_request(captions=captions), photo_request()])
    assert isinstance(refused, Unedited)
    assert "caption" in refused.reason
    assert "descriptions" in refused.reason
    assert edited.shape == (32, 48, 3)


@pytest.mark.parametrize("case", ["inpaint-plain", "inpaint-made-for-it", "inpaint-xl"])
def test_a_white_mask_means_everywhere_and_a_black_one_nowhere(editors, case) -> None:
    black, white = (np.full((32, 48), value, np.uint8) for value in (0, 255))
    without, nowhere, everywhere = editors[case].edit(
        [photo_request(mask=mask) for mask in (None, black, white)]
    )
    assert np.array_equal(without, everywhere)
    assert nowhere == Unedited(NOWHERE)


@pytest.mark.parametrize("case", CASES)
def test_only_inpainting_uses_a_mask(editors, case) -> None:
    half = np.full((32, 48), 255, np.uint8)
    half[:, :24] = 0
    without, masked = editors[case].edit([photo_request(), photo_request(mask=half)])
    assert editors[case].uses_mask == case.startswith("inpaint")
    assert np.array_equal(without, masked) != editors[case].uses_mask


@EVERY
def test_absent_weights_are_unavailable(tmp_path, case) -> None:
    made = CASES[case][0]
    empty, unknown = (made(made.Settings(target=name)) for name in (str(tmp_path), "a/model"))
    for editor in (empty, unknown):
        assert isinstance(editor.missing(), UnavailableError)
        with pytest.raises(UnavailableError):
            editor.edit([photo_request()])
        with pytest.raises(UnavailableError):
            _ = editor.fingerprint
    assert unknown.missing().command == "hf download a/model"


@EVERY
def test_weights_that_are_there_are_not_missing(editors, case) -> None:
    assert editors[case].missing() is None
    assert len(editors[case].weights) == 1


@pytest.mark.parametrize("made", [SDEditEditor, InpaintEditor, DiffEditEditor, NullTextEditor])
def test_a_network_that_edits_by_instructions_is_refused(tmp_path, made) -> None:
    folder = save_instruct_pix2pix(tmp_path)
    with pytest.raises(RecipeError, match="8 input channels"):
        made(made.Settings(target=str(folder))).edit([photo_request()])


def test_another_kind_of_pipeline_is_refused(folders) -> None:
    made = SDEditEditor(SDEditEditor.Settings(target=str(folders["flux"])))
    with pytest.raises(RecipeError, match="FluxKontextPipeline"):
        made.edit([photo_request()])


@pytest.mark.parametrize("case", ["sdedit", "inpaint-plain", "flux-kontext"])
def test_batches_differ_by_rounding_only(editors, folders, case) -> None:
    made, folder, settings = CASES[case]
    batched = made(made.Settings(target=str(folders[folder]), batch=2, **settings))
    asked = [photo_request(index) for index in range(3)]
    for one, other in zip(editors[case].edit(asked), batched.edit(asked), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


@pytest.mark.parametrize("case", ["sdedit", "inpaint-plain", "null-text"])
def test_in_bf16_the_picture_is_nearly_the_same(editors, folders, case) -> None:
    made, folder, settings = CASES[case]
    coarse = made(made.Settings(target=str(folders[folder]), precision="bf16", **settings))
    difference = (
        editors[case].edit([photo_request()])[0].astype(int) - coarse.edit([photo_request()])[0]
    )
    assert 0 < np.abs(difference).mean() < 8


def test_kontext_works_at_the_nearest_size_it_was_trained_on(editors) -> None:
    made = editors["flux-kontext"]
    settings = made.Settings(target="anything")
    assert made.working_size(None, 600, 900, settings) == (832, 1248)
    assert made.working_size(None, 512, 512, settings) == (1024, 1024)


@pytest.mark.parametrize(
    ("made", "settings"),
    [
        (SDEditEditor, {"strength": 0}),
        (SDEditEditor, {"steps": 3, "strength": 0.3}),
        (InpaintEditor, {"strength": 1.5}),
        (DiffEditEditor, {"steps": 1}),
        (LeditsEditor, {"skip": 1}),
        (NullTextEditor, {"cross": 2}),
        (FluxKontextEditor, {"size": {"long_side": 0}}),
    ],
)
def test_bad_settings_are_refused(made, settings) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        made.Settings(target="a/model", **settings)
