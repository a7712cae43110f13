"""The eight natural colour photographs bundled with common Python packages.

The files are read from the installed packages, without importing the packages and without
downloads. The captions are ours; the licences are as the packages document them. Both views of
scikit-image's motorcycle are one scene; the left view is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from editloop.errors import UnavailableError
from editloop.images.codec import decode
from editloop.schema import Pixels

__all__ = ["SCENES", "Scene", "locate", "photo"]


@dataclass(frozen=True, slots=True)
class Scene:
    """A photograph: its distribution and package, file, size, caption and licence."""

    name: str
    distribution: str
    package: str
    file: str
    width: int
    height: int
    caption: str
    licence: str


def _skimage(name: str, file: str, size: tuple[int, int], caption: str, licence: str) -> Scene:
    return Scene(name, "scikit-image", "skimage", f"data/{file}", *size, caption, licence)


def _sklearn(name: str, author: str, caption: str) -> Scene:
    licence = f"CC BY 2.0, by flickr.com/photos/{author}"
    file = f"datasets/images/{name}.jpg"
    return Scene(name, "scikit-learn", "sklearn", file, 640, 427, caption, licence)


_ALL = (
    _skimage(
        "astronaut",
        "astronaut.png",
        (512, 512),
        "a smiling astronaut in an orange space suit in front of a flag and a model of a shuttle",
        "public domain (NASA)",
    ),
    _skimage(
        "chelsea",
        "chelsea.png",
        (451, 300),
        "the face of a tabby cat",
        "CC0 1.0, by Stefan van der Walt",
    ),
    _sklearn("china", "danielbuechele", "a Chinese pagoda among trees above a lake"),
    _skimage(
        "coffee",
        "coffee.png",
        (600, 400),
        "a cup of espresso on a red saucer with a spoon on a wooden table",
        "CC0 1.0, by Rachel Michetti",
    ),
    _sklearn("flower", "vultilion", "an orange dahlia in front of dark green leaves"),
    Scene(
        "grace_hopper",
        "matplotlib",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        512,
        600,
        "a portrait of a woman with glasses in a navy uniform in front of a flag",
        "public domain (U.S. Navy)",
    ),
    _skimage(
        "motorcycle",
        "motorcycle_left.png",
        (741, 500),
        "a red motorcycle in a garage",
        "Middlebury 2014 stereo benchmark, terms not stated by the package",
    ),
    _skimage(
        "rocket",
        "rocket.jpg",
        (640, 427),
        "a rocket on its launch pad between towers at dusk",
        "public domain (SpaceX)",
    ),
)

SCENES = {scene.name: scene for scene in _ALL}


def locate(scene: Scene) -> Path:
    """Return the photograph's file; raise UnavailableError with the install command if missing."""
    spec = find_spec(scene.package)
    folders = [] if spec is None else spec.submodule_search_locations or []
    for folder in folders:
        path = Path(folder, scene.file)
        if path.is_file():
            return path
    raise UnavailableError(
        f"the photo {scene.name!r} is not in {scene.distribution}",
        command=f"pip install --force-reinstall {scene.distribution}",
    )


@cache
def photo(name: str) -> Pixels:
    """Return a scene's pixels, read-only, decoded once per process: 6 MB for all eight."""
    scene = SCENES[name]
    pixels = decode(locate(scene).read_bytes())
    if pixels.shape != (scene.height, scene.width, 3):
        raise UnavailableError(
            f"the photo {name!r} in the installed {scene.distribution} is a different one",
            value=f"{pixels.shape[1]} x {pixels.shape[0]}",
            command=f"pip install --upgrade {scene.distribution}",
        )
    pixels.setflags(write=False)
    return pixels
