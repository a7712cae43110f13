"""A small test split in MagicBrush's layout, from real photos, and outputs of an editor for it."""

import json
from pathlib import Path

import numpy as np

from editloop.editors.file_names import output_path
from editloop.images.codec import encode_png
from editloop.runtime.seeding import generator
from editloop.schema import Pixels
from editloop.sources.scenes import photo

SIZE = 48
TURNS = (1, 3, 2)  # of each session


def picture(name: str, size: int = SIZE) -> Pixels:
    """A crop of a real photo, its own for each name."""
    rng = generator("magicbrush", name)
    scene = photo(("astronaut", "chelsea", "coffee")[int(rng.integers(3))])
    top, left = (int(rng.integers(side - size)) for side in scene.shape[:2])
    return np.ascontiguousarray(scene[top : top + size, left : left + size])


def make_split(folder: Path, turns: tuple[int, ...] = TURNS, size: int = SIZE) -> Path:
    """A split with a session for each number of turns; names as the published ones."""
    sessions, local, whole = {}, {}, {}
    for index, count in enumerate(turns):
        session = str(100 + index)
        place = folder / "images" / session
        place.mkdir(parents=True)
        names = [f"{session}-input.png"] + [f"{session}-output{i + 1}.png" for i in range(count)]
        for name in names:
            (place / name).write_bytes(encode_png(picture(name, size)))
        sessions[session] = []
        for turn in range(1, count + 1):
            mask = f"{session}-mask{turn}.png"
            (place / mask).write_bytes(_mask(size, turn))
            sessions[session].append(
                {
                    "input": names[turn - 1],
                    "output": names[turn],
                    "mask": mask,
                    "instruction": f"make it change {turn}",
                }
            )
        local[session] = {name: f"part of {name[:-4]}" for name in names}
        whole[session] = {name: f"all of {name[:-4]}" for name in names}
    _write(folder / "edit_sessions.json", sessions)
    _write(folder / "local_descriptions.json", local)
    _write(folder / "global_descriptions.json", whole)
    return folder


def make_outputs(folder: Path, turns: tuple[int, ...] = TURNS, size: int = SIZE) -> Path:
    """Known pictures for every turn of `make_split`, in both settings."""
    for index, count in enumerate(turns):
        session = str(100 + index)
        for turn in range(1, count + 1):
            for setting in ("independent", "iterative") if turn > 1 else ("independent",):
                path = folder / output_path(session, turn, setting)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_png(picture(f"made {path.name}", size)))
    return folder


def _mask(size: int, turn: int) -> bytes:
    """White where editing is allowed: another square each turn."""
    mask = np.zeros((size, size), np.uint8)
    mask[4 * turn : 4 * turn + 16, 8:24] = 255
    return encode_png(mask)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
