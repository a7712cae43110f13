"""The table of looks: changes to a whole picture, or to everything behind its props."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from editloop.darkroom import backdrops, styles, tones, weather
from editloop.darkroom.colours import COLOURS
from editloop.schema import EditType, Json, Pixels

__all__ = ["LOOKS", "LookKind"]

_AMOUNT = {"amount": tuple(tones.AMOUNTS)}


@dataclass(frozen=True, slots=True)
class LookKind:
    """A look: its function, the allowed values of its parameters, and whether it needs a seed.

    Props added later are placed below a `light` look, so that snow, for example, also covers them;
    they are placed above any other look, which would hide their colour.
    """

    edit_type: EditType
    apply: Callable[..., Pixels]
    space: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seeded: bool = False
    light: bool = False

    def __call__(self, picture: Pixels, parameters: Mapping[str, Json]) -> Pixels:
        """Return the picture with this look; a pure function of picture and parameters."""
        return self.apply(picture, **parameters)


def _tone(apply: Callable[..., Pixels], *, light: bool = False) -> LookKind:
    return LookKind(EditType.GLOBAL, apply, light=light)


def _adjustment(apply: Callable[..., Pixels]) -> LookKind:
    return LookKind(EditType.GLOBAL, apply, _AMOUNT, light=True)


def _weather(apply: Callable[..., Pixels]) -> LookKind:
    return LookKind(EditType.GLOBAL, apply, seeded=True, light=True)


def _style(apply: Callable[..., Pixels]) -> LookKind:
    return LookKind(EditType.STYLE, apply)


def _backdrop(apply: Callable[..., Pixels], **space: tuple[str, ...]) -> LookKind:
    return LookKind(EditType.BACKGROUND, apply, space)


LOOKS: Mapping[str, LookKind] = MappingProxyType(
    {
        "black-and-white": _tone(tones.black_and_white),
        "sepia": _tone(tones.sepia),
        "cyanotype": _tone(tones.cyanotype),
        "negative": _tone(tones.negative),
        "vintage": _tone(tones.vintage),
        "night": _tone(tones.night, light=True),
        "golden-hour": _tone(tones.golden_hour, light=True),
        "dark-corners": _tone(tones.dark_corners, light=True),
        "underwater": _tone(weather.underwater),
        "fog": _weather(weather.fog),
        "snow": _weather(weather.snow),
        "rain": _weather(weather.rain),
        "brighter": _adjustment(tones.brighter),
        "darker": _adjustment(tones.darker),
        "more-contrast": _adjustment(tones.more_contrast),
        "faded": _adjustment(tones.faded),
        "warmer": _adjustment(tones.warmer),
        "cooler": _adjustment(tones.cooler),
        "vivid": _adjustment(tones.vivid),
        "pencil-sketch": _style(styles.pencil_sketch),
        "oil-painting": _style(styles.oil_painting),
        "watercolour": _style(styles.watercolour),
        "cartoon": _style(styles.cartoon),
        "comic": _style(styles.halftone),
        "pixel-art": _style(styles.pixel_art),
        "poster": _style(styles.poster),
        "stained-glass": _style(styles.stained_glass),
        "pointillism": _style(styles.pointillism),
        "engraving": _style(styles.engraving),
        "neon": _style(styles.neon),
        "blur-background": _backdrop(backdrops.blurred),
        "grey-background": _backdrop(backdrops.colourless),
        "dim-background": _backdrop(backdrops.dimmed),
        "recolour-background": _backdrop(backdrops.tinted, colour=tuple(COLOURS)[:8]),
        "plain-background": _backdrop(backdrops.plain, colour=tuple(COLOURS)),
        "surface-background": _backdrop(backdrops.surface, surface=backdrops.SURFACES),
        "sky-background": _backdrop(backdrops.sky, sky=backdrops.SKIES),
    }
)
