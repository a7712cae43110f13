"""Edit in this process on request, as a user does, and report the time of each edit.

python edit_worker.py ours|diffusers FOLDER PICTURE PRECISION STEPS

Each input line, `{"settings": {"image_guidance": 1.5}, "out": "edited.npy"}`, is one edit. The
answer is a line with the seconds of the whole edit and of the network's steps alone, in wall-clock
time and in processor time, which other programs affect less.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from edit_world import INSTRUCTION
from editloop.schema import Json, Pixels

_TEXT_GUIDANCE, _SEED = 7.5, 7


def main() -> None:
    """Load the model, edit once to warm up, then edit on request."""
    name, folder, picture, precision, steps = sys.argv[1:]
    began = time.perf_counter()
    make = {"ours": _ours, "diffusers": _diffusers}[name]
    edit, parts = make(Path(folder), Path(picture), precision)
    loaded = time.perf_counter() - began
    watch = _Watch(parts)
    edit(1, {"image_guidance": 1.5})
    _tell({"loaded": loaded})
    for line in sys.stdin:
        asked = json.loads(line)
        watch.reset()
        clock, processor = time.perf_counter(), time.process_time()
        pixels = edit(int(steps), asked["settings"])
        took = time.perf_counter() - clock, time.process_time() - processor
        assert np.ptp(pixels) > 0, "a picture of one colour tells nothing"
        np.save(asked["out"], pixels)
        names = ("seconds", "processor"), ("step_seconds", "step_processor")
        told = dict(zip(names[0], took, strict=True))
        rest = [all_ - apart for all_, apart in zip(took, watch.spent, strict=True)]
        _tell({**told, **dict(zip(names[1], rest, strict=True)), "rows": watch.rows})


class _Watch:
    """The time spent in encoders and decoders, and the rows passed to the denoising network."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self.reset()
        for part, method in (("vae", "encode"), ("vae", "decode"), ("text_encoder", "forward")):
            setattr(parts[part], method, self._timed(getattr(parts[part], method)))
        parts["unet"].register_forward_pre_hook(self._count)

    def reset(self) -> None:
        self.spent, self.rows = [0.0, 0.0], 0

    def _count(self, _network: Any, inputs: tuple[Any, ...]) -> None:
        self.rows += len(inputs[0])

    def _timed(self, bare: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            clock, processor = time.perf_counter(), time.process_time()
            made = bare(*arguments, **named)
            self.spent[0] += time.perf_counter() - clock
            self.spent[1] += time.process_time() - processor
            return made

        return call


def _ours(folder: Path, picture: Path, precision: str) -> tuple[Callable[..., Pixels], Any]:
    from editloop.editors.edit import read_pixels
    from editloop.editors.instruct import InstructEditor, InstructSettings
    from editloop.schema import EditRequest

    settings = InstructSettings(target=str(folder), precision=precision, size={"multiple": 8})
    editor = InstructEditor(settings)
    pixels = read_pixels(picture)

    def edit(steps: int, settings: dict[str, Json]) -> Pixels:
        asked = {"steps": steps, "text_guidance": _TEXT_GUIDANCE, **settings}
        request = EditRequest(
            id="edit", image=pixels, instruction=INSTRUCTION, seed=_SEED, settings=asked
        )
        editor._shown._seen.clear()  # no edit may reuse an encoded picture
        return editor.edit([request])[0]  # type: ignore[return-value]

    model = editor._pipeline
    texts: Any = model.texts
    return edit, {
        "vae": model.autoencoder.vae,
        "text_encoder": texts.encoder,
        "unet": model.network,
    }


def _diffusers(folder: Path, picture: Path, precision: str) -> tuple[Callable[..., Pixels], Any]:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    made = StableDiffusionInstructPix2PixPipeline.from_pretrained(
        folder, dtype=dtype, safety_checker=None
    )
    made.to("cuda" if torch.cuda.is_available() else "cpu")
    made.set_progress_bar_config(disable=True)
    image = Image.open(picture).convert("RGB")

    def edit(steps: int, settings: dict[str, Json]) -> Pixels:
        return np.asarray(
            made(
                INSTRUCTION,
                image=image,
                num_inference_steps=steps,
                guidance_scale=_TEXT_GUIDANCE,
                image_guidance_scale=settings["image_guidance"],
                generator=[torch.Generator().manual_seed(_SEED)],
            ).images[0]
        )

    return edit, {"vae": made.vae, "text_encoder": made.text_encoder, "unet": made.unet}


def _tell(facts: dict[str, Json]) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
