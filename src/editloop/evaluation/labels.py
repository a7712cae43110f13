"""What metrics are called and how their numbers are written, for people."""

from __future__ import annotations

from collections.abc import Iterable

from editloop.metrics.pixels import PIXEL_METRICS
from editloop.schema import PERSPECTIVES

__all__ = ["HIGHER_IS_WORSE", "amount", "change", "label", "ordered", "unit"]

# Metrics of which less is better; of all others, more.
HIGHER_IS_WORSE = frozenset(name for name in PIXEL_METRICS if name.startswith(("l1", "l2")))

_GIVEN = "_given_following"
_SHORT = {"l1": "L1", "l2": "L2", "psnr": "PSNR", "ssim": "SSIM"}

_FAMILIES = (*PERSPECTIVES, "all", "l1", "l2", "psnr", "ssim")


def ordered(metrics: Iterable[str]) -> list[str]:
    """Metrics as tables list them: the judge's, those given following, then the pixels'."""

    def place(metric: str) -> tuple[int, int, str]:
        family = metric.partition("_")[0]
        known = _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)
        given = _GIVEN in metric
        return (len(PERSPECTIVES) if given else known, known, metric)

    return sorted(metrics, key=place)


def label(metric: str) -> str:
    """A metric's name in words: `l1_inside` is "L1 inside the mask"."""
    name, given, _ = metric.partition(_GIVEN)
    stem, _, place = name.partition("_")
    if stem in _SHORT:
        name = _SHORT[stem] + (f" {place} the mask" if place else "")
    elif name == "all_accuracy":
        name = "accuracy in all three together"
    return name.replace("_", " ") + (" where the edit was followed" if given else "")


def unit(metric: str) -> str:
    """What a metric's numbers are in: "%", "of 5", "dB" or nothing."""
    if _is_share(metric):
        return "%"
    if "_score" in metric:
        return "of 5"
    return "dB" if metric.startswith("psnr") else ""


def amount(metric: str, value: float) -> str:
    """A value as tables and sentences show it."""
    if _is_share(metric):
        return f"{100 * value:.1f}%"
    return f"{value:.{_digits(metric)}f}"


def change(metric: str, value: float) -> str:
    """A difference of two values, with its sign."""
    if _is_share(metric):
        return _signed(f"{100 * value:+.1f}")
    return _signed(f"{value:+.{_digits(metric)}f}")


def _is_share(metric: str) -> bool:
    return "_accuracy" in metric


def _digits(metric: str) -> int:
    if metric.startswith("psnr"):
        return 1
    if "_score" in metric:
        return 2
    return 5 if metric.startswith("l2") else 4


def _signed(text: str) -> str:
    return text.replace("-", "−")
