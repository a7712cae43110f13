"""Checkpoints of the InstructPix2Pix family: the editor against the plain diffusers pipeline."""

from functools import lru_cache

import diffusers
import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
)
from PIL import Image

from editloop.editors.diffusion import DiffusionEditor, DiffusionSettings
from editloop.editors.edit import edit
from editloop.editors.memory import explained_memory
from editloop.errors import RecipeError
from editloop.registry import parse_spec
from editloop.runtime.seeding import generator
from editloop.schema import EditRequest, Unedited
from tiny_pipelines import save_instruct_pix2pix, save_instruct_pix2pix_xl

# diffusers' samplers hand tensors to NumPy in a way that NumPy 2 warns about.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

STEPS = 3
OPEN = "left open"
SIZE = {"multiple": 8}  # work at the picture's own size
SCHEDULERS = {
    "euler-ancestral": "EulerAncestralDiscreteScheduler",
    "euler": "EulerDiscreteScheduler",
    "ddim": "DDIMScheduler",
    "dpm++2m": "DPMSolverMultistepScheduler",
    "default": "PNDMScheduler",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_instruct_pix2pix(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return save_instruct_pix2pix(tmp_path_factory.mktemp("masked"), in_channels=12)


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return save_instruct_pix2pix_xl(tmp_path_factory.mktemp("xl"))


@pytest.fixture(scope="module")
def plain(folder):
    return quiet(
        StableDiffusionInstructPix2PixPipeline.from_pretrained(folder, safety_checker=None)
    )


@pytest.fixture(scope="module")
def usual(folder):
    return editor(folder)


def quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def editor(folder, **settings):
    """Return an editor, cached by its settings, so that its weights load once."""
    chosen = {"target": str(folder), "steps": STEPS, "size": SIZE, **settings}
    return _editor(DiffusionSettings(**{key: chosen[key] for key in chosen if chosen[key] != OPEN}))


@lru_cache(maxsize=100)
def _editor(settings):
    return DiffusionEditor(settings)


def request(index=0, height=32, width=48, **changes):
    pixels = generator("picture", index).integers(0, 256, (height, width, 3), dtype=np.uint8)
    usual = {"id": str(index), "image": pixels, "instruction": f"make it {index}", "seed": index}
    return EditRequest(**{**usual, **changes})


def asked_plainly(pipeline, requests, **named):
    """Return the plain pipeline's pictures, called as its users do."""
    settings = {"num_inference_steps": STEPS, "guidance_scale": 7.5, "image_guidance_scale": 1.5}
    return [
        np.asarray(picture)
        for picture in pipeline(
            [each.instruction for each in requests],
            image=[Image.fromarray(each.image) for each in requests],
            generator=[torch.Generator().manual_seed(each.seed) for each in requests],
            **{**settings, **named},
        ).images
    ]


def apart(first, second):
    return np.abs(first.astype(int) - second.astype(int)).max()


def half(height=32, width=48):
    """A mask of the left half."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 255
    return mask


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_it_equals_the_plain_pipeline(folder, plain, scheduler) -> None:
    own = plain.scheduler
    made = getattr(diffusers, SCHEDULERS[scheduler])
    plain.scheduler = made.from_config(own.config)
    try:
        expected = asked_plainly(plain, [request(3)])[0]
    finally:
        plain.scheduler = own
    assert apart(editor(folder, scheduler=scheduler).edit([request(3)])[0], expected) <= 1


def test_a_wide_network_equals_the_plain_pipeline(tmp_path) -> None:
    wide = save_instruct_pix2pix(tmp_path, widths=(8, 320))
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(wide, safety_checker=None)
    expected = asked_plainly(quiet(pipeline), [request(3)])[0]
    assert apart(editor(wide).edit([request(3)])[0], expected) <= 1


def test_samplers_differ(folder) -> None:
    made = [editor(folder, scheduler=name).edit([request()])[0] for name in SCHEDULERS]
    assert all(apart(made[0], other) > 1 for other in made[1:])


def test_a_batch_equals_the_plain_pipelines_batch(folder, plain) -> None:
    requests = [request(index) for index in range(3)]
    answers = editor(folder, batch=3).edit(requests)
    for answer, expected in zip(answers, asked_plainly(plain, requests), strict=True):
        assert apart(answer, expected) <= 1


def test_xl_equals_the_plain_pipeline(xl) -> None:
    pipeline = quiet(
        StableDiffusionXLInstructPix2PixPipeline.from_pretrained(xl, add_watermarker=False)
    )
    requests = [request(index) for index in range(2)]
    expected = asked_plainly(pipeline, requests, height=32, width=48)
    answers = editor(xl, batch=2).edit(requests)
    assert all(apart(*pair) <= 1 for pair in zip(answers, expected, strict=True))


def test_a_session_equals_the_plain_pipeline_fed_with_its_own_pictures(folder, plain) -> None:
    first = request(1)
    turns = ["make it 1", "now a cat", "remove it"]
    spec = f"diffusion:{folder}?steps={STEPS}&size=multiple:8"
    made = edit(first.image, turns, editor=spec, seed=7)
    picture = first.image
    for instruction, answer in zip(turns, made, strict=True):
        asked = EditRequest(id="plain", image=picture, instruction=instruction, seed=7)
        expected = asked_plainly(plain, [asked])[0]
        assert apart(answer, expected) <= 1
        picture = answer


@pytest.mark.parametrize("batch", [1, 4])
def test_company_is_no_matter(folder, batch) -> None:
    made = editor(folder, batch=batch)
    sizes = [(32, 48), (48, 32), (32, 48), (40, 40), (32, 48)]
    requests = [request(index, *size) for index, size in enumerate(sizes)]
    together = made.edit(requests)
    for answer, each in zip(together, requests, strict=True):
        assert apart(answer, editor(folder, batch=1).edit([each])[0]) <= 1


def test_the_seed_decides(usual) -> None:
    first, again, other = (usual.edit([request(0, seed=seed)])[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert apart(first, other) > 1


@pytest.mark.parametrize("size", [(33, 31), (64, 64), (7, 90), (1, 1), (100, 30)])
@pytest.mark.parametrize("rule", [{"long_side": 32}, {"side": 32, "filter": "area"}, {}])
def test_an_answer_has_the_size_of_its_picture(folder, size, rule) -> None:
    answer = editor(folder, steps=1, size=rule).edit([request(0, *size)])[0]
    assert answer.shape == (*size, 3)
    assert answer.dtype == np.uint8


def test_the_picture_is_worked_on_at_the_rules_size_and_given_back(folder, plain) -> None:
    made = editor(folder, size={"long_side": 32, "multiple": 16}).edit([request(0, 45, 61)])[0]
    scaled = Image.fromarray(request(0, 45, 61).image).resize((32, 16), Image.Resampling.LANCZOS)
    small = asked_plainly(plain, [request(0, image=np.asarray(scaled))])[0]
    expected = Image.fromarray(small).resize((61, 45), Image.Resampling.LANCZOS)
    assert apart(made, np.asarray(expected)) <= 2  # 1 before, widened by the filter's overshoot


def test_left_out_the_size_is_the_models_own(folder) -> None:
    large = request(0, 300, 200)
    answer = editor(folder, size=OPEN).edit([large])[0]
    same = editor(folder, size={"long_side": 32, "multiple": 64}).edit([large])[0]
    assert np.array_equal(answer, same)


CARD = {
    "steps": 2,
    "text_guidance": 3.0,
    "image_guidance": 2.0,
    "scheduler": "ddim",
    "size": {"long_side": 32, "multiple": 16},
    "resolution": "unknown keys are no matter",
}
KNOWN = {name: value for name, value in CARD.items() if name != "resolution"}


def test_a_cards_settings_stand_in_for_what_is_not_set(folder) -> None:
    asked = editor(folder, steps=OPEN, size=OPEN).edit([request(0, settings=CARD)])[0]
    assert np.array_equal(asked, editor(folder, **KNOWN).edit([request()])[0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 4),
        ("text_guidance", 7.5),
        ("image_guidance", 1.5),
        ("scheduler", "default"),
        ("size", {"long_side": 48}),
    ],
)
def test_what_is_set_wins_over_the_card_even_where_it_is_the_default(folder, name, value) -> None:
    made = editor(folder, **{"steps": OPEN, "size": OPEN, name: value})
    with_card = made.edit([request(0, settings=CARD)])[0]
    assert np.array_equal(with_card, editor(folder, **{**KNOWN, name: value}).edit([request()])[0])
    assert apart(with_card, editor(folder, **KNOWN).edit([request()])[0]) > 1


def test_requests_of_one_call_may_carry_other_settings(usual, folder) -> None:
    left_open = editor(folder, steps=OPEN)
    asked = [request(0, settings={"steps": 1}), request(0, settings={"steps": STEPS})]
    assert np.array_equal(left_open.edit(asked)[1], usual.edit([request()])[0])
    assert apart(*left_open.edit(asked)) > 1


@pytest.mark.parametrize("scale", ["text_guidance", "image_guidance"])
def test_guidance_changes_the_answer(folder, usual, scale) -> None:
    other = editor(folder, **{scale: 3.0}).edit([request()])[0]
    assert apart(other, usual.edit([request()])[0]) > 1


def test_guidance_of_one_asks_the_network_once(folder, plain) -> None:
    made = editor(folder, text_guidance=1, image_guidance=1).edit([request()])[0]
    expected = asked_plainly(plain, [request()], guidance_scale=1, image_guidance_scale=1)[0]
    assert apart(made, expected) <= 1


def test_a_mask_is_unused_without_mask_channels_and_it_says_so(usual) -> None:
    assert not usual.uses_mask
    with_mask = usual.edit([request(0, mask=half())])[0]
    assert np.array_equal(with_mask, usual.edit([request()])[0])


def test_a_mask_is_heeded_and_an_all_black_one_is_not_edited_with(masked) -> None:
    made = editor(masked)
    assert made.uses_mask
    black, full = (np.full((32, 48), value, np.uint8) for value in (0, 255))
    without, everywhere, nowhere, left, right = (
        made.edit([request(0, mask=mask)])[0] for mask in (None, full, black, half(), 255 - half())
    )
    assert np.array_equal(without, everywhere)
    assert isinstance(nowhere, Unedited)
    assert apart(without, left) > 1
    assert apart(left, right) > 1


def test_the_masked_model_computed_by_hand(masked) -> None:
    """UltraEdit, appendix A.4: [noisy, source, mask] latents; guidance by InstructPix2Pix Eq. 3."""
    pipeline = StableDiffusionInstructPix2PixPipeline.from_pretrained(masked, safety_checker=None)
    vae, unet = pipeline.vae, pipeline.unet
    asked = request(5, mask=half())
    schedule = DDIMScheduler.from_config(pipeline.scheduler.config)
    schedule.set_timesteps(STEPS)

    def encoded(pixels):
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
        return vae.encode(tensor).latent_dist.mode()

    def text(prompt):
        ids = pipeline.tokenizer(
            prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids
        return pipeline.text_encoder(ids)[0]

    with torch.no_grad():
        given = torch.cat([encoded(asked.image), encoded(np.stack([asked.mask] * 3, -1))], 1)
        nothing = torch.zeros_like(given)
        noise = torch.Generator().manual_seed(asked.seed)
        latents = torch.randn((1, 4, 16, 24), generator=noise) * schedule.init_noise_sigma
        for at in schedule.timesteps:
            both, picture, neither = (
                unet(torch.cat([latents, beside], 1), at, words).sample
                for beside, words in (
                    (given, text(asked.instruction)),
                    (given, text("")),
                    (nothing, text("")),
                )
            )
            guided = neither + 1.5 * (picture - neither) + 7.5 * (both - picture)
            latents = schedule.step(guided, at, latents).prev_sample
        made = vae.decode(latents / vae.config.scaling_factor).sample[0]
    expected = ((made / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).byte().numpy()
    assert apart(editor(masked, scheduler="ddim").edit([asked])[0], expected) <= 1


def test_an_xl_checkpoint_with_mask_channels(tmp_path) -> None:
    made = editor(save_instruct_pix2pix_xl(tmp_path, in_channels=12), batch=2)
    assert made.uses_mask
    left, right = made.edit([request(0, mask=half()), request(0, mask=255 - half())])
    assert apart(left, right) > 1


def test_source_and_mask_share_one_geometry(masked) -> None:
    scaled = editor(masked, size={"long_side": 48})
    big = request(0, 96, 144, mask=half(96, 144))
    small = Image.fromarray(big.image).resize((48, 32), Image.Resampling.LANCZOS)
    at_size = editor(masked).edit([request(0, image=np.asarray(small), mask=half())])[0]
    expected = Image.fromarray(at_size).resize((144, 96), Image.Resampling.LANCZOS)
    assert apart(scaled.edit([big])[0], np.asarray(expected)) <= 1


def test_half_precision_is_near(folder, usual) -> None:
    near = editor(folder, precision="bf16").edit([request()])[0]
    exact = usual.edit([request()])[0]
    difference = np.abs(near.astype(int) - exact.astype(int)).mean()
    assert 0 < difference < 12  # noise drawn in bf16 differs a little too


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_without_a_gpu_is_refused(folder) -> None:
    with pytest.raises(RecipeError, match="fp16 needs a GPU"):
        editor(folder, precision="fp16").edit([request()])


@pytest.mark.parametrize(
    "query",
    [
        "steps=0",
        "text_guidance=0.5",
        "image_guidance=0.9",
        "scheduler=heun",
        "size=512",
        "reward=5,5,5",
        "precision=int8",
        "batch=0",
    ],
)
def test_bad_settings_are_refused(folder, query) -> None:
    with pytest.raises(RecipeError):
        parse_spec(f"diffusion:{folder}?{query}", "editor").create("editor").edit([request()])


def test_an_instruction_that_is_cut_is_told_once(folder, capsys) -> None:
    made = DiffusionEditor(DiffusionSettings(target=str(folder), steps=1, size=SIZE))
    made.edit([request()])
    assert capsys.readouterr().err == ""
    long = "make it red " * 100
    made.edit([request(instruction=long), request(instruction=f"{long} [b]")])
    told = capsys.readouterr().err
    assert "reads only the beginning of: make it red" in told
    assert told.count("reads only") == 1


def test_too_large_a_working_size_is_not_edited(folder) -> None:
    made = editor(folder, size={"short_side": 16_000, "multiple": 8})
    thin = np.zeros((1, 400, 3), np.uint8)
    (answer,) = made.edit([request(image=thin)])
    assert "too large to work on: 6400000x16000" in answer.reason


def test_too_little_memory_is_told_with_what_takes_less() -> None:
    said = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"
    for error in (MemoryError(), RuntimeError(said), torch.OutOfMemoryError("CUDA")):
        with pytest.raises(RecipeError, match="2 x 64x32 pixels"), explained_memory(2, (32, 64)):
            raise error
    with pytest.raises(RuntimeError, match="shapes"), explained_memory(2, (32, 64)):
        raise RuntimeError("shapes do not fit")
