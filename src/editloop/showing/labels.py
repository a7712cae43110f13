"""Labels of metrics and formats of their numbers."""

from __future__ import annotations

from collections.abc import Iterable

from editloop.metrics.pixels import PIXEL_METRICS
from editloop.schema import PERSPECTIVES

__all__ = [
    "HIGHER_IS_WORSE",
    "amount",
    "change",
    "label",
    "less_is_better",
    "ordered",
    "ranked_by",
    "short_label",
    "unit",
]

# Metrics for which lower is better; for all others, higher is.
HIGHER_IS_WORSE = frozenset(
    {
        *(name for name in PIXEL_METRICS if name.startswith(("l1", "l2"))),
        *("lpips", "lpips_inside", "lpips_outside", "structure_distance"),
    }
)
# Words that mean the same in a user's own metric name.
_WORSE = frozenset({"l1", "l2", "mse", "lpips", "distance", "error", "loss"})

_GIVEN = "_given_following"
_WORDS = {
    "clip": "CLIP",
    "dino": "DINO",
    "dinov2": "DINOv2",
    "l1": "L1",
    "l2": "L2",
    "lpips": "LPIPS",
    "mse": "MSE",
    "psnr": "PSNR",
    "ssim": "SSIM",
}
_NAMES = {
    "all_accuracy": "accuracy in all three together",
    "clip_dir": "CLIP direction",
    "clip_i": "CLIP-I",
    "clip_t": "CLIP-T",
    "clip_text_source": "CLIP text of the source",
    "dinov2_ultraedit": "DINOv2 (UltraEdit's pixels)",
    "ssim7": "SSIM (7 px)",
}
_PLACES = ("inside", "outside")

# The scores of published protocols' judges, besides the perspectives.
_JUDGED = (
    *("alignment", "coherence", "naturalness", "artefacts"),
    *("semantic_consistency", "perceptual_quality", "overall"),
)
_FAMILIES = (
    *PERSPECTIVES,
    "all",
    *(name.partition("_")[0] for name in _JUDGED),
    *("l1", "l2", "psnr", "ssim", "lpips", "clip", "dino", "dinov2", "structure"),
)


def ordered(metrics: Iterable[str]) -> list[str]:
    """Return metrics in table order: the judge's, those given following, then the pictures'."""

    def place(metric: str) -> tuple[int, int, str]:
        family = metric.partition("_")[0]
        known = _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)
        given = _GIVEN in metric
        return (len(PERSPECTIVES) if given else known, known, metric)

    return sorted(metrics, key=place)


def less_is_better(metric: str, measured: str | None = None) -> bool:
    """Return whether lower is better; `measured` is the metric behind a card's own name."""
    names = {metric, measured or metric}
    words = {word for name in names for word in name.lower().split("_")}
    return bool(names & HIGHER_IS_WORSE or words & _WORSE)


def ranked_by(metrics: Iterable[str]) -> str | None:
    """Return the metric that ranks cases: `overall`, or else the first that is not an accuracy."""
    graded = [metric for metric in metrics if not _is_share(metric)]
    return "overall" if "overall" in graded else next(iter(graded), None)


def label(metric: str) -> str:
    """Return a metric's name in words: `l1_inside` is "L1 inside the mask"."""
    name, given, _ = metric.partition(_GIVEN)
    stem, _, place = name.rpartition("_")
    if place in _PLACES:
        name, place = stem, f" {place} the mask"
    else:
        place = ""
    words = _NAMES.get(name) or " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return words + place + (" where the edit was followed" if given else "")


def short_label(metric: str) -> str:
    """Return a metric's short name: `l1_inside` is "L1 inside"."""
    return label(metric).replace(" the mask", "").replace("structure distance", "structure")


def unit(metric: str) -> str:
    """Return the unit of a metric's numbers: "%", "of 5", "dB" or ""."""
    if _is_share(metric):
        return "%"
    if "_score" in metric:
        return "of 5"
    return "dB" if metric.startswith("psnr") else ""


def amount(metric: str, value: float) -> str:
    """Return a value as formatted in tables and sentences."""
    if _is_share(metric):
        return f"{100 * value:.1f}%"
    return f"{value:.{_digits(metric, value)}f}"


def change(metric: str, value: float) -> str:
    """Return a formatted difference of two values, with its sign."""
    if _is_share(metric):
        return _signed(f"{100 * value:+.1f}")
    return _signed(f"{value:+.{_digits(metric, value)}f}")


def _is_share(metric: str) -> bool:
    return "_accuracy" in metric


def _digits(metric: str, value: float) -> int:
    if metric.startswith("psnr") or "_score" in metric or metric in (*PERSPECTIVES, *_JUDGED):
        return 2
    if metric.startswith(("l2", "structure")):
        return 5
    return 2 if abs(value) >= 10 else 4


def _signed(text: str) -> str:
    return text.replace("-", "−")
