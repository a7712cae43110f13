"""The source `photos`: random crops of the eight bundled photographs, split by scene.

A crop depends on the seed, its scene and its index, not on its split: `clean` repeats the crops of
`train`. No scene is in both the training and the held-out split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field, model_validator

from editloop.errors import known_names
from editloop.images.codec import encode_png
from editloop.kernel.steps import Keep, Outcome, SourceItem
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Image, Json, Provenance
from editloop.settings import Settings as BaseSettings
from editloop.sources.crops import Crop
from editloop.sources.scenes import SCENES, Scene, locate, photo

__all__ = ["PhotosSettings", "PhotosSource"]


class PhotosSettings(BaseSettings):
    """The number and size of crops; `scale` is the range of a crop's side over the short side."""

    seed: int = Field(default=0, ge=0)
    size: int = Field(default=64, ge=0, description="output side in pixels; 0: no resizing")
    train: int = Field(default=1500, ge=0)
    heldout: int = Field(default=220, ge=0)
    clean: int = Field(default=0, ge=0, description="crops of `train` to repeat in a split `clean`")
    scale: tuple[float, float] = (0.5, 1.0)
    flip: bool = True
    heldout_scenes: tuple[str, ...] = ("chelsea", "china", "coffee")

    @model_validator(mode="after")
    def _is_possible(self) -> PhotosSettings:
        low, high = self.scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"scale must be 0 < low <= high <= 1, not {low}, {high}")
        for name in self.heldout_scenes:
            if name not in SCENES:
                raise ValueError(f"no scene {name!r}: {known_names(name, SCENES)}")
        if not 0 < len(set(self.heldout_scenes)) < len(SCENES):
            raise ValueError("heldout_scenes must name at least one scene and leave at least one")
        return self


class PhotosSource:
    """The source kind `photos`."""

    Settings = PhotosSettings
    name = "photos"
    version = "1"

    def __init__(self, settings: PhotosSettings) -> None:
        self._settings = settings

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self._settings.model_dump(mode="json")

    def items(self) -> Iterator[SourceItem]:
        """Yield every crop: split by split, cycling through the split's scenes."""
        settings = self._settings
        heldout = [scene for scene in SCENES.values() if scene.name in settings.heldout_scenes]
        training = [scene for scene in SCENES.values() if scene not in heldout]
        yield from self._split("train", training, settings.train)
        yield from self._split("heldout", heldout, settings.heldout)
        yield from self._split("clean", training, settings.clean)

    def _split(self, split: str, scenes: Sequence[Scene], count: int) -> Iterator[SourceItem]:
        for scene in scenes[:count]:
            locate(scene)  # a missing photo fails the run before it starts
        for index in range(count):
            scene = scenes[index % len(scenes)]
            yield SourceItem(
                id=f"photos/{split}/{scene.name}/{index:06d}",
                split=split,
                uri=f"photos:{scene.name}",
                parameters={"crop": self._draw(scene, index).to_json()},
            )

    def _draw(self, scene: Scene, index: int) -> Crop:
        settings = self._settings
        rng = generator("photos", settings.seed, scene.name, index)
        side = max(1, round(min(scene.width, scene.height) * rng.uniform(*settings.scale)))
        x = int(rng.integers(scene.width - side + 1))
        y = int(rng.integers(scene.height - side + 1))
        flip = bool(rng.integers(2)) and settings.flip
        size = settings.size or side
        return Crop(x, y, side, side, size, size, flip)

    def load(self, items: Sequence[SourceItem]) -> list[Outcome]:
        return [Keep((self._sample(item),)) for item in items]

    def _sample(self, item: SourceItem) -> EditSample:
        scene = SCENES[item.uri.removeprefix("photos:")]
        pixels = Crop.from_json(item.parameters["crop"]).cut(photo(scene.name))
        return EditSample(
            id=item.id,
            source=Image(encode_png(pixels), f"{scene.name}.png"),
            source_caption=scene.caption,
            provenance=Provenance(
                generator=self.name,
                revision=self.version,
                seed=self._settings.seed,
                parameters=item.parameters,
                licence=scene.licence,
                source_uri=item.uri,
            ),
        )
