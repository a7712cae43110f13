"""The benchmark's data: a test split, an editor's pictures for it, and two encoders.

Everything is generated from a fixed seed: pictures are crops of real photos bundled with Python
packages, and weights are random, in the published models' true sizes. Matrices get a larger spread
than at initialisation, which would give nearly the same embedding to every picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

import editloop
from editloop.editors.file_names import output_path
from editloop.runtime.seeding import generator
from editloop.schema import Json, Pixels
from editloop.sources.scenes import SCENES, photo

__all__ = ["World", "crop", "letter_tokenizer", "make_world", "pasted", "save_network"]

TURNS = (1, 2, 3)  # of each session, in rotation: two on average, as in the published split
_SPREAD = 3.0  # factor on the initial spread of a matrix
_CARD = Path(editloop.__file__).parent / "evaluation" / "protocols" / "magicbrush.yaml"
_NOT_RELEASED = "iterative-turns"  # a benchmark of the card that the released evaluator lacks
_VOCABULARY = 49408
_CAPTIONS = "local_descriptions.json"


@dataclass(frozen=True, slots=True)
class World:
    """The paths of all data; `clip` and `dino` are names or folders of encoders."""

    folder: Path
    clip: str
    dino: str
    sessions: int

    @property
    def data(self) -> Path:
        """The unpacked split."""
        return self.folder / f"data-{self.sessions}"

    @property
    def outputs(self) -> Path:
        """The editor's pictures."""
        return self.folder / f"outputs-{self.sessions}"

    @property
    def captions(self) -> Path:
        """The captions for CLIP-T."""
        return self.data / _CAPTIONS

    @property
    def card(self) -> Path:
        """The published card, with this world's encoders."""
        return self.folder / "magicbrush.yaml"

    @property
    def turns(self) -> list[int]:
        """The number of turns of each session."""
        return [TURNS[index % len(TURNS)] for index in range(self.sessions)]

    @property
    def pairs(self) -> int:
        """The number of pairs: every turn, and the last turn of each session again."""
        return sum(self.turns) + self.sessions

    @property
    def pictures(self) -> list[Path]:
        """The number of the editor's pictures and of the true ones, without the inputs."""
        return [*sorted(self.outputs.rglob("*.png")), *sorted(self.data.rglob("*-output*.png"))]

    def grown(self, times: int, size: int) -> World:
        """Make a world with `times` as many sessions, beside this one."""
        larger = replace(self, sessions=self.sessions * times)
        _make_split(larger, size)
        return larger


def make_world(
    folder: Path, sessions: int, size: int, encoders: tuple[str | None, str | None]
) -> World:
    """Make a split of sessions with square pictures of `size` px, outputs, encoders and a card.

    `encoders` are a CLIP and a DINO; one that is None is generated in true size.
    """
    clip, dino = encoders
    world = World(
        folder,
        clip or str(_save_clip(folder / "clip")),
        dino or str(_save_dino(folder / "dino")),
        sessions,
    )
    _make_split(world, size)
    card = yaml.safe_load(_CARD.read_text(encoding="utf-8"))
    del card["benchmarks"][_NOT_RELEASED]
    for metric in card["metrics"].values():
        if "model" in metric:
            metric["model"] = world.dino if metric["kind"] == "dino" else world.clip
    world.card.write_text(yaml.safe_dump(card, sort_keys=False), encoding="utf-8")
    return world


def _make_split(world: World, size: int) -> None:
    listed, local, whole = {}, {}, {}
    for index, count in enumerate(world.turns):
        session = str(1000 + index)
        place = world.data / "images" / session
        place.mkdir(parents=True)
        names = [f"{session}-input.png", *(f"{session}-output{n + 1}.png" for n in range(count))]
        masks = [f"{session}-mask{n + 1}.png" for n in range(count)]
        for path, pixels in _session(world, session, [place / n for n in (*names, *masks)], size):
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, compress_level=1)
        listed[session] = [
            {
                "input": names[turn],
                "output": names[turn + 1],
                "mask": masks[turn],
                "instruction": f"put something else there, {turn + 1}",
            }
            for turn in range(count)
        ]
        local[session] = {name: f"a part of picture {name[:-4]}" for name in names}
        whole[session] = {name: f"all of picture {name[:-4]}" for name in names}
    _write(world.data / "edit_sessions.json", listed)
    _write(world.captions, local)
    _write(world.data / "global_descriptions.json", whole)


def _session(
    world: World, session: str, paths: list[Path], size: int
) -> Iterator[tuple[Path, Pixels]]:
    """Make a session's pictures: each turn pastes a piece of another photo."""
    rng = generator("benchmark", session)
    turns = len(paths) // 2
    names, masks = paths[: turns + 1], paths[turns + 1 :]
    truth = own = crop(rng, size)
    yield names[0], truth
    for turn in range(1, turns + 1):
        at = tuple(int(value) for value in rng.integers(0, size // 2, 2))
        before, truth = truth, pasted(truth, at, crop(rng, size // 2))
        yield names[turn], truth
        yield masks[turn - 1], _with_hole(before, at)
        ways = {"independent": before} if turn == 1 else {"independent": before, "iterative": own}
        for setting, given in ways.items():
            own = pasted(given, at, crop(rng, size // 2))
            yield world.outputs / output_path(session, turn, setting), own


def crop(rng: np.random.Generator, size: int) -> Pixels:
    """Return a square crop of a photo, enlarged as the published inputs are."""
    scene = photo(sorted(SCENES)[int(rng.integers(len(SCENES)))])
    side = int(min(scene.shape[:2]) * rng.uniform(0.6, 1))
    top, left = (int(rng.integers(length - side + 1)) for length in scene.shape[:2])
    image = Image.fromarray(scene[top : top + side, left : left + side])
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def pasted(pixels: Pixels, at: tuple[int, ...], piece: Pixels) -> Pixels:
    """Paste a smaller picture into a picture, with its top left corner at `at` (row, column)."""
    made = pixels.copy()
    made[at[0] : at[0] + len(piece), at[1] : at[1] + len(piece)] = piece
    return made


def _with_hole(pixels: Pixels, at: tuple[int, ...]) -> Pixels:
    """Return the picture, transparent where editing is allowed: the published form of a mask."""
    side = len(pixels) // 2
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[at[0] : at[0] + side, at[1] : at[1] + side] = 0
    return np.dstack([pixels, alpha])


def _save_clip(folder: Path) -> Path:
    """Make a CLIP ViT-B/32 and its tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    save_network(folder, lambda: CLIPModel(CLIPConfig()))
    letter_tokenizer().save_pretrained(folder)
    return folder


def letter_tokenizer() -> Any:
    """Make a tokenizer in CLIP's format whose tokens are letters."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{each}</w>" for each in letters)]
    words += [f"<|{index}|>" for index in range(len(words), _VOCABULARY - 2)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _save_dino(folder: Path) -> Path:
    """Make a DINO ViT-S/16."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(hidden_size=384, intermediate_size=1536, num_attention_heads=6)
    save_network(folder, lambda: ViTModel(config, add_pooling_layer=False))
    return folder


def save_network(folder: Path, make: Any) -> None:
    """Save the network that `make` returns, with random weights of a larger spread."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data *= _SPREAD
    model.save_pretrained(folder)


def _write(path: Path, content: Json) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
