"""Edits of held-out photos, from which a calibration's pairs are made.

All edit types are equally frequent. Photos are crops of scenes that no shipped recipe trains on. An
edit depends only on the seed, its index and its size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from editloop.darkroom.develop import REVISION, Rendered, Wrong, develop
from editloop.darkroom.faults import Occasion
from editloop.darkroom.language.phrases import caption, instruction
from editloop.darkroom.operations import OPERATIONS
from editloop.darkroom.plans import PlannedTurn, draw_turn
from editloop.darkroom.regions import is_whole
from editloop.darkroom.scene import Darkroom
from editloop.darkroom.sessions import draw_session, shows
from editloop.images.codec import decode
from editloop.kernel.steps import Keep
from editloop.runtime.seeding import derive_seed, generator
from editloop.schema import Captions, EditedPair, EditType, Pixels
from editloop.sources.photos import PhotosSource
from editloop.sources.scenes import SCENES

__all__ = ["VERSION", "HeldOutEdit", "HeldOutEdits"]

VERSION = f"1, darkroom {REVISION}, photos {PhotosSource.version}"
_TYPES = tuple(EditType)
_CROPS = (0.7, 1.0)  # share of the short side; smaller crops would be blurred at the largest size


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutEdit:
    """A rendered edit of a crop of a scene; `darkroom` holds the crop."""

    index: int
    scene: str
    size: int
    seed: int
    darkroom: Darkroom
    turn: PlannedTurn
    rendered: Rendered

    @property
    def name(self) -> str:
        """The name SCENE/SIZE/TYPE/INDEX."""
        return f"{self.scene}/{self.size}/{self.turn.edit_type.value}/{self.index:04d}"

    @property
    def wrong(self) -> Wrong:
        """The wrong results that a generator might have made."""
        return Wrong(self.darkroom, self.turn, self.seed)

    @property
    def occasion(self) -> Occasion:
        """The properties of the edit that determine its possible faults."""
        whole = is_whole(self.rendered.mask)
        return Occasion(self.turn.edit_type, self.turn.subject, whole, frozenset(self.wrong))

    def another(self) -> HeldOutEdit:
        """Return an edit of another type that starts from the same picture."""
        turn, rendered = next(self._others())
        return replace(self, turn=turn, rendered=rendered)

    def pair(self, variant: str, edited: Pixels) -> EditedPair:
        """Return the edit as a pair to judge, with any picture as its result."""
        words, photo = generator(self.seed, "words"), SCENES[self.scene].caption
        return EditedPair(
            id=f"{self.name}/{variant}",
            source=self.rendered.source,
            instruction=instruction(self.turn, words),
            edited=edited,
            target=self.rendered.target,
            mask=self.rendered.mask,
            captions=Captions(caption(photo, self.turn.before), caption(photo, self.turn.after)),
            edit_type=self.turn.edit_type,
        )

    def _others(self) -> Iterator[tuple[PlannedTurn, Rendered]]:
        """Yield visible edits of other types, endlessly: every photo has some."""
        names = [
            name for name, each in OPERATIONS.items() if each.edit_type is not self.turn.edit_type
        ]
        for attempt in itertools.count():
            turn = draw_turn(generator(self.seed, "another", attempt), names, self.turn.before)
            if turn is not None:
                rendered = develop(self.darkroom, turn)
                if shows(rendered):
                    yield turn, rendered


class HeldOutEdits:
    """The first `count` edits of a seed in some sizes, each drawn on access."""

    def __init__(self, seed: int, count: int, sizes: tuple[int, ...]) -> None:
        self._seed = seed
        self._sizes = sizes
        self._sources = {
            size: PhotosSource(
                PhotosSource.Settings(seed=seed, size=size, scale=_CROPS, train=0, heldout=count)
            )
            for size in sizes
        }
        self._items = {size: list(source.items()) for size, source in self._sources.items()}

    def __len__(self) -> int:
        return len(self._items[self._sizes[0]])

    def __getitem__(self, index: int) -> HeldOutEdit:
        """Return the edit at an index; types, sizes and scenes alternate."""
        size = self._size(index)
        item = self._items[size][index]
        (loaded,) = self._sources[size].load([item])
        assert isinstance(loaded, Keep)
        darkroom = Darkroom(decode(loaded.samples[0].source_image.bytes))
        seed, turn, rendered = next(self._drawn(darkroom, size, index))
        scene = item.uri.removeprefix("photos:")
        return HeldOutEdit(index, scene, size, seed, darkroom, turn, rendered)

    def _drawn(
        self, darkroom: Darkroom, size: int, index: int
    ) -> Iterator[tuple[int, PlannedTurn, Rendered]]:
        """Yield visible edits with their seeds, endlessly: every type has some."""
        edit_type = _TYPES[index % len(_TYPES)]
        names = [name for name, each in OPERATIONS.items() if each.edit_type is edit_type]
        for attempt in itertools.count():
            seed = derive_seed(self._seed, "calibration", size, index, attempt)
            for turn, rendered in draw_session(darkroom, names, 1, seed):
                yield seed, turn, rendered

    def _size(self, index: int) -> int:
        turn = index // len(_TYPES)
        return self._sizes[(turn + turn // len(self._sizes)) % len(self._sizes)]
