"""Runs made by commit 25ccf41, the last one before the package had rooms, unpacked for a test.

- `finished`: a whole run of RECIPE.
- `half-built`: the same, killed after its first commit.
- `judged`: three edits of `finished`, judged by the fake server at URL, and the ledger of that.
"""

import tarfile
from pathlib import Path

from editloop.loop.recipe import Recipe
from editloop.settings import validate

RECIPE = {
    "name": "before-rooms",
    "seed": 0,
    "sources": [{"kind": "photos", "size": 32, "train": 70, "heldout": 6}],
    "build": [{"kind": "darkroom"}],
    "judge": [{"kind": "metric"}],
    "train": [
        {
            "name": "tiny",
            "kind": "pocket",
            "size": 32,
            "channels": [8],
            "steps": 260,
            "batch": 2,
            "conditions": ["source", "reward"],
            "reward": {"text": False},
        }
    ],
    "evaluate": [
        {"kind": "darkroom", "editors": ["copy", "tiny=diffusion:models/tiny?reward=5,5,5"]}
    ],
}
URL = "http://127.0.0.1:8019/v1"  # nothing answers there any more


def recipe() -> Recipe:
    return validate(Recipe, RECIPE, where="the fixture")


def unpacked(name: str, folder: Path) -> Path:
    """The run of this name below `folder`."""
    archive = Path(__file__).parent / "fixtures" / f"before-rooms-{name}.tar.xz"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder / name
