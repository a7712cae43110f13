"""Pairs equal attention with maps and diffusers' own pipelines, computed pair by pair.

Networks and texts are in fp64; diffusers' Euler ancestral sampler rounds latents to fp32.
"""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image

from editloop.editors.schedulers import scheduler_like
from editloop.models.attention import (
    Control,
    PairControl,
    controlled,
    hertz_control,
    instruct_pix2pix_control,
)
from editloop.models.backbones.denoisers import added_inputs
from editloop.models.pairs import HERTZ_MOST, Pair, PairModel, Sampling, control_at
from editloop.models.prompts import PromptEdit, prompt_edit, spelled
from tiny_pipelines import TEXT_WIDTH, tiny_scheduler, tiny_text_encoder, tiny_vae
from tiny_tokenizer import make_clip_tokenizer

# diffusers' samplers hand tensors to NumPy in a way that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SIDE = 40  # latents of 20 x 20: the finest maps are above 16 x 16, the next ones below
STEPS = 3
PAIRS = [
    Pair("a cat on a mat", "a dog on a mat", seed=1, share=0.5, guidance=3.0),
    Pair("a red hat", "a striped hat", seed=2, share=1.0, guidance=7.0),
    Pair("two trees", "two trees in the snow", seed=3, share=0.2, guidance=5.0),
    Pair("word " * 30, "word " * 16 + "other", seed=4, share=0.75, guidance=2.0),
]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
MODES = ["instruct-pix2pix", "hertz"]
NAMES = ["sd-1.5", "sd-2.1", "sdxl", "sdxl-turbo"]


def unet(*, xl: bool, linear: bool = False) -> UNet2DConditionModel:
    """Stable Diffusion's plan with three heads, and attention at two resolutions."""
    torch.manual_seed(0)
    added = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": TEXT_WIDTH + 6 * 4,
    }
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(12, 12),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        norm_num_groups=4,
        cross_attention_dim=2 * TEXT_WIDTH if xl else TEXT_WIDTH,
        attention_head_dim=3,
        use_linear_projection=linear or xl,
        **(added if xl else {}),
    )


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory) -> dict[str, Any]:
    tokenizer = make_clip_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    levels = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    leading = {**levels, "steps_offset": 1, "timestep_spacing": "leading"}

    def plain(scheduler: Any, **kind: bool) -> Any:
        return StableDiffusionPipeline(
            vae=tiny_vae(),
            text_encoder=tiny_text_encoder(),
            tokenizer=tokenizer,
            unet=unet(xl=False, **kind),
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )

    def xl(scheduler: Any) -> Any:
        vae = tiny_vae()
        vae.register_to_config(force_upcast=False)  # or the pipeline encodes photos in fp32
        return StableDiffusionXLPipeline(
            vae=vae,
            text_encoder=tiny_text_encoder(),
            text_encoder_2=tiny_text_encoder(projection=True, seed=1),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            unet=unet(xl=True),
            scheduler=scheduler,
            add_watermarker=False,
        )

    made = {
        "sd-1.5": plain(tiny_scheduler()),
        "sd-2.1": plain(
            DDIMScheduler(
                prediction_type="v_prediction", clip_sample=False, steps_offset=1, **levels
            ),
            linear=True,
        ),
        "sdxl": xl(EulerDiscreteScheduler(**leading)),
        "sdxl-turbo": xl(EulerAncestralDiscreteScheduler(**levels, timestep_spacing="trailing")),
    }
    for each in made.values():
        each.to(torch.float64)
        each.set_progress_bar_config(disable=True)
        each.scheduler = scheduler_like("euler-ancestral", each.scheduler)
    return made


def model(pipeline: Any) -> PairModel:
    return PairModel(pipeline, pipeline.scheduler)


def sampled(pipeline, pairs, mode="instruct-pix2pix", steps=STEPS, side=SIDE) -> torch.Tensor:
    return model(pipeline).sample(pairs, Sampling(mode, steps, side))[0]


def changed(pair: Pair, **fields: Any) -> Pair:
    return Pair(**{**{name: getattr(pair, name) for name in pair.__slots__}, **fields})


class MapAttention:
    """Attention of one pair, with its maps changed row by row as the papers write it."""

    def __init__(self, mode: str, control: Control, edit: PromptEdit, step: int = 0) -> None:
        self.mode, self.control, self.edit, self.step = mode, control, edit, step

    def __call__(self, attention, hidden_states, encoder_hidden_states=None, **_):
        cross = encoder_hidden_states is not None
        seen = encoder_hidden_states if cross else hidden_states
        query, key, value = (
            attention.head_to_batch_dim(layer(states))
            for layer, states in (
                (attention.to_q, hidden_states),
                (attention.to_k, seen),
                (attention.to_v, seen),
            )
        )
        maps = attention.get_attention_scores(query, key).unflatten(0, (-1, attention.heads))
        torch.testing.assert_close(maps.sum(-1), torch.ones_like(maps[..., 0]))
        for target in range(1, len(maps), 2):
            maps[target] = self.taken(maps, target, cross)
        mixed = attention.batch_to_head_dim(maps.flatten(0, 1) @ value)
        return attention.to_out[0](mixed)

    def taken(self, maps, target, cross):
        """The maps of a target: the last row is conditional, row 1 of 4 is unconditional."""
        conditional, source = target == len(maps) - 1, target - 1
        if not cross:
            here = self.mode == "instruct-pix2pix" or (conditional and maps.shape[2] <= 256)
            return maps[source if here and self.step < self.control.itself else target]
        if conditional and self.step < self.control.cross:
            edit = PromptEdit(self.edit.transfer.double(), self.edit.taken.double())
            return edit.apply(maps[source], maps[target])
        return maps[target]


@pytest.mark.slow
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_a_network_call_equals_one_with_maps_in_fp64(pipelines, mode, guided) -> None:
    pipeline = pipelines["sd-1.5"]
    random = torch.Generator().manual_seed(0)
    copies = 2 if guided else 1
    count = 2 * len(PAIRS)
    states = torch.randn(copies * count, 77, TEXT_WIDTH, generator=random, dtype=torch.float64)
    noisy = torch.randn(copies * count, 4, 20, 20, generator=random, dtype=torch.float64)
    controls = [control_at(mode, pair.share, STEPS) for pair in PAIRS]
    edits = [edit_of(pipeline, pair) for pair in PAIRS]
    for step in (0, 1):
        if mode == "hertz":
            control = PairControl(controls, edits, most=HERTZ_MOST)
        else:
            control = PairControl(controls, unconditional=True)
        control.step = step
        with torch.no_grad(), controlled(pipeline.unet, control):
            made = pipeline.unet(noisy, 500, encoder_hidden_states=states).sample
        for at, (own, edit) in enumerate(zip(controls, edits, strict=True)):
            rows = [copy * count + 2 * at + row for copy in range(copies) for row in (0, 1)]
            network = deepcopy(pipeline.unet)
            network.set_attn_processor(MapAttention(mode, own, edit, step))
            with torch.no_grad():
                alone = network(noisy[rows], 500, encoder_hidden_states=states[rows]).sample
            torch.testing.assert_close(made[rows], alone, rtol=1e-10, atol=1e-10)


def edit_of(pipeline: Any, pair: Pair) -> PromptEdit:
    texts = (spelled(pipeline.tokenizer, text) for text in (pair.source, pair.target))
    return prompt_edit(*texts)


@torch.no_grad()
def by_maps(pipeline: Any, pair: Pair, mode: str, steps: int = STEPS) -> torch.Tensor:
    """The latents of a pair alone, with diffusers' encoding of texts and a generator for each."""
    guided = pair.guidance != 1
    hidden, added = encoded(pipeline, pair, guided)
    control = control_at(mode, pair.share, steps)
    attention = MapAttention(mode, control, edit_of(pipeline, pair))
    network = deepcopy(pipeline.unet)
    network.set_attn_processor(attention)
    schedulers = [deepcopy(pipeline.scheduler) for _ in range(2)]
    for each in schedulers:
        each.set_timesteps(steps)
    randoms = [torch.Generator().manual_seed(pair.seed) for _ in range(2)]
    rows = [
        torch.randn(1, 4, SIDE // 2, SIDE // 2, generator=random, dtype=torch.float64)
        * schedulers[0].init_noise_sigma
        for random in randoms
    ]
    for attention.step, timestep in enumerate(schedulers[0].timesteps):
        scaled = zip(schedulers, rows, strict=True)
        noisy = torch.cat([each.scale_model_input(row, timestep) for each, row in scaled])
        noisy = torch.cat([noisy, noisy]) if guided else noisy
        output = network(noisy, timestep, encoder_hidden_states=hidden, **added).sample
        if guided:
            output = output[:2] + pair.guidance * (output[2:] - output[:2])
        rows = [
            each.step(out[None], timestep, row, generator=random).prev_sample
            for each, out, row, random in zip(schedulers, output, rows, randoms, strict=True)
        ]
    return torch.cat(rows)


def encoded(pipeline: Any, pair: Pair, guided: bool) -> tuple[torch.Tensor, dict[str, Any]]:
    found = pipeline.encode_prompt(
        [pair.source, pair.target],
        device="cpu",
        num_images_per_prompt=1,
        do_classifier_free_guidance=guided,
    )
    hidden = torch.cat([found[1], found[0]]) if guided else found[0]
    if len(found) == 2:
        return hidden, {}
    pooled = torch.cat([found[3], found[2]]) if guided else found[2]
    sizes = torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]] * len(pooled), dtype=pooled.dtype)
    return hidden, {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}


@pytest.mark.slow
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_pairs_in_any_order_equal_each_pair_alone_with_maps(pipelines, mode, guided) -> None:
    pipeline = pipelines["sd-1.5"]
    pairs = PAIRS if guided else [changed(pair, guidance=1.0) for pair in PAIRS]
    alone = [by_maps(pipeline, pair, mode) for pair in pairs]
    for order in ([0], [1, 0], [3, 0, 2], [2, 3, 1, 0]):
        made = sampled(pipeline, [pairs[at] for at in order], mode)
        torch.testing.assert_close(made, torch.cat([alone[at] for at in order]), **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES[1:])
def test_every_model_is_controlled_alike(pipelines, name, mode) -> None:
    guidance, steps = (1.0, 1) if name == "sdxl-turbo" else (6.0, 3)
    pairs = [changed(pair, guidance=guidance, share=0.7) for pair in PAIRS[:2]]
    made = sampled(pipelines[name], pairs, mode, steps)
    alone = [by_maps(pipelines[name], pair, mode, steps) for pair in pairs]
    torch.testing.assert_close(made, torch.cat(alone), **CLOSE)
    free = sampled(pipelines[name], [changed(pair, share=0.0) for pair in pairs], mode, steps)
    torch.testing.assert_close(made[0::2], free[0::2], **CLOSE)
    assert ((made - free)[1::2].abs().amax(dim=(1, 2, 3)) > 1e-4).all()


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("name", NAMES)
def test_without_control_a_pair_is_two_runs_of_the_pipeline(pipelines, name, guidance) -> None:
    """With noise, texts and XL's sizes as diffusers has them."""
    pipeline = pipelines[name]
    pair = changed(PAIRS[0], share=0.0, guidance=guidance)
    made = sampled(pipeline, [pair])
    for row, text in zip(made, (pair.source, pair.target), strict=True):
        wanted = pipeline(
            text,
            height=SIDE,
            width=SIDE,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            generator=torch.Generator().manual_seed(pair.seed),
            output_type="latent",
        ).images
        torch.testing.assert_close(row[None], wanted, **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_what_a_neighbour_is_changes_no_bit_of_a_pair(pipelines, mode) -> None:
    first = sampled(pipelines["sd-1.5"], PAIRS[:2], mode)
    other = changed(PAIRS[1], source="quite another", target="text", seed=9, share=0.0)
    assert torch.equal(sampled(pipelines["sd-1.5"], [PAIRS[0], other], mode)[:2], first[:2])


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("mode", MODES)
def test_the_source_reaches_the_target_where_there_is_control(pipelines, mode, guidance) -> None:
    for share in (0.0, 0.6):
        pair = changed(PAIRS[0], share=share, guidance=guidance)
        source, target = sampled(pipelines["sd-1.5"], [pair], mode)
        other = changed(pair, source="a pig on a mat")
        moved = (sampled(pipelines["sd-1.5"], [other], mode)[1] - target).abs().max()
        assert moved > 1e-4 if share else moved == 0
        other = changed(pair, target="a cow on a mat")
        assert torch.equal(sampled(pipelines["sd-1.5"], [other], mode)[0], source)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_equal_captions_give_equal_pictures_at_any_share(pipelines, mode) -> None:
    """So all noise is shared, also that of each step."""
    for share in (0.0, 0.5, 1.0):
        same = changed(PAIRS[0], target=PAIRS[0].source, share=share)
        source, target = sampled(pipelines["sd-1.5"], [same], mode)
        torch.testing.assert_close(source, target, **CLOSE)


def test_guidance_of_one_is_no_guidance_and_another_scale_is_another_picture(pipelines) -> None:
    off, on = changed(PAIRS[0], guidance=1.0), changed(PAIRS[0], guidance=1.5)
    alone = sampled(pipelines["sd-1.5"], [off])
    beside = sampled(pipelines["sd-1.5"], [off, on])
    torch.testing.assert_close(beside[:2], alone, **CLOSE)
    assert (beside[2:] - alone).abs().max() > 1e-4


@pytest.mark.parametrize(("guidance", "rows"), [(1.0, 4), (2.0, 8)])
def test_a_step_is_one_network_call_with_no_more_rows_than_needed(
    pipelines, guidance, rows
) -> None:
    made, seen, beats = model(pipelines["sd-1.5"]), [], []
    hook = made.unet.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    pairs = [changed(pair, guidance=guidance) for pair in PAIRS[:2]]
    before = made.unet.attn_processors
    made.make(pairs, Sampling("hertz", 3, SIDE), lambda: beats.append(len(seen)))
    hook.remove()
    assert seen == [rows] * 3
    assert beats == [0, 1, 2]
    assert made.unet.attn_processors == before


@pytest.mark.parametrize(
    ("steps", "share", "published", "hertz"),
    [
        (1, 0.0, 0, (0, 0)),
        (1, 0.1, 1, (0, 0)),
        (1, 0.5, 1, (1, 0)),
        (1, 1.0, 1, (1, 1)),
        (3, 0.1, 1, (0, 0)),
        (3, 0.5, 1, (2, 1)),
        (3, 1.0, 2, (3, 3)),  # InstructPix2Pix's last step is free
        (100, 0.1, 10, (10, 10)),
        (100, 0.5, 50, (50, 50)),
        (100, 1.0, 99, (100, 100)),
    ],
)
def test_a_share_is_a_number_of_steps_as_released(steps, share, published, hertz) -> None:
    assert instruct_pix2pix_control(steps, share) == Control(0, published)
    assert hertz_control(steps, share, share) == Control(*hertz)


@pytest.mark.slow
def test_the_steps_on_which_control_acted_are_counted(pipelines) -> None:
    made = model(pipelines["sd-1.5"])
    acted = {
        (mode, side): made.sample(PAIRS[:2], Sampling(mode, STEPS, side))[1]
        for mode, side in (("instruct-pix2pix", SIDE), ("hertz", SIDE), ("hertz", 72))
    }
    assert acted["instruct-pix2pix", SIDE] == [Control(0, 1), Control(0, 2)]
    assert acted["hertz", SIDE] == [Control(2, 1), Control(3, 3)]
    assert acted["hertz", 72] == [Control(2, 0), Control(3, 0)]  # no map of at most 16 x 16


def test_xls_pooled_text_and_sizes_reach_the_network(pipelines) -> None:
    network = pipelines["sdxl"].unet
    noisy = torch.randn(1, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hidden = torch.zeros(1, 77, 2 * TEXT_WIDTH, dtype=torch.float64)

    def answer(pooled: float, factor: int) -> torch.Tensor:
        given = torch.full((1, TEXT_WIDTH), pooled, dtype=torch.float64)
        added = added_inputs(network, given, noisy, factor)
        with torch.no_grad():
            return network(noisy, 500, encoder_hidden_states=hidden, **added).sample

    usual = answer(0.5, 8)
    assert (answer(0.6, 8) - usual).abs().max() > 1e-6
    assert (answer(0.5, 64) - usual).abs().max() > 1e-6


PHOTO = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def anchored(pipeline: Any, pair: Pair) -> torch.Tensor:
    sampling = Sampling("hertz", 5, SIDE, strength=0.6)
    return model(pipeline).sample([changed(pair, photo=PHOTO)], sampling)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "made"),
    [("sd-1.5", StableDiffusionImg2ImgPipeline), ("sdxl-turbo", StableDiffusionXLImg2ImgPipeline)],
)
def test_from_a_photo_without_control_a_pair_is_two_image_to_image_runs(
    pipelines, name, made
) -> None:
    pair = changed(PAIRS[0], share=0.0)
    pipeline = made(**pipelines[name].components)
    pipeline.set_progress_bar_config(disable=True)
    for row, text in zip(anchored(pipelines[name], pair), (pair.source, pair.target), strict=True):
        wanted = pipeline(
            text,
            image=Image.fromarray(PHOTO),
            strength=0.6,
            num_inference_steps=5,
            guidance_scale=pair.guidance,
            generator=torch.Generator().manual_seed(pair.seed),
            output_type="latent",
        ).images
        torch.testing.assert_close(row[None], wanted, **CLOSE)


@pytest.mark.slow
def test_from_a_photo_the_source_reaches_the_target_where_there_is_control(pipelines) -> None:
    for share in (0.0, 0.6):
        pair = changed(PAIRS[0], share=share)
        source, target = anchored(pipelines["sd-1.5"], pair)
        other = anchored(pipelines["sd-1.5"], changed(pair, source="a pig on a mat"))[1]
        moved = (other - target).abs().max()
        assert moved > 1e-4 if share else moved == 0
        other = anchored(pipelines["sd-1.5"], changed(pair, target="a cow on a mat"))[0]
        assert torch.equal(other, source)


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "effective"), [(3, 1), (5, 3), (8, 4)])
def test_effective_steps_are_the_network_s_calls_and_a_kept_photo_is_not_decoded(
    pipelines, steps, effective
) -> None:
    made, calls, decoded = model(pipelines["sd-1.5"]), [], []
    hook = made.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    vae = made.autoencoder.vae
    decode = vae.decode
    vae.decode = lambda latents, **named: decoded.append(len(latents)) or decode(latents, **named)
    pair = changed(PAIRS[0], photo=PHOTO)
    for keeps in (True, False):
        sampling = Sampling("hertz", steps, SIDE, strength=0.6, keeps_photo=keeps)
        assert sampling.effective_steps == effective
        (each,) = made.make([pair], sampling)
        assert np.array_equal(each.source, PHOTO) == keeps
    hook.remove()
    vae.decode = decode
    assert len(calls) == 2 * effective
    assert decoded == [1, 2]
