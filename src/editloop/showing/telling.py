"""Notices of an evaluation in words: settings unlike a protocol's card's, unusual pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from editloop.schema import Json

__all__ = ["told_notices", "told_settings", "unlike_the_card"]

# How each list of notices in `results.json` is told, of one and of several.
_TOLD = {
    "leftovers": ("picture not used by any turn", "pictures not used by any turn"),
    "unusual": (
        "recorded picture unlike its source or read in a way of its own",
        "recorded pictures unlike their source or read in a way of their own",
    ),
    "read_differently": (
        'picture of the data that `convert("RGB")` alone would show differently',
        'pictures of the data that `convert("RGB")` alone would show differently',
    ),
    "same_captions": (
        "local caption equal to the global one, which CLIP-T then measures",
        "local captions equal to the global ones, which CLIP-T then measures",
    ),
    "near_shapes": (
        "picture whose shape differs a little from its source's, resized where they are compared",
        "pictures whose shapes differ a little from their sources', resized where they are "
        "compared",
    ),
    "with_references": (
        "case with reference pictures, not edited by editors that take none",
        "cases with reference pictures, not edited by editors that take none",
    ),
}


def unlike_the_card(editor: Mapping[str, Json]) -> str:
    """Return what an editor's settings have unlike its card's, in words; "" if there is nothing.

    `departs: steps 20 (card 100)` where its SPEC says so; all its own where the card's are not for
    its family.
    """
    editing = editor.get("editing") or {}
    if editing.get("own"):
        return f"uses its own settings ({editing['why']}): {told_settings(editing)}"
    departs = ", ".join(
        f"{name} {each['given']} (card {each['card']})"
        for name, each in (editor.get("departs") or {}).items()
    )
    return f"departs: {departs}" if departs else ""


def told_settings(editing: Mapping[str, Json]) -> str:
    """Return an editor's settings in words; those of its SPEC are marked."""
    return ", ".join(
        f"{name} {_value(each['value'])}{' (SPEC)' if each['from'] == 'SPEC' else ''}"
        for name, each in sorted(editing["settings"].items())
        if each["value"] is not None
    )


def _value(value: Json) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    return " ".join(f"{key} {each}" for key, each in value.items() if each is not None)


def told_notices(facts: Mapping[str, Json], names: int | None = None) -> Iterator[str]:
    """Yield the lists of notices in an editor's or a benchmark's facts, each in words.

    The first `names` entries of each are named (None: all that are stored).
    """
    for key, (one, several) in _TOLD.items():
        found = facts.get(key)
        if found:
            named = found["first"][:names]
            rest = found["count"] - len(named)
            more = f" and {rest:,} more" if rest else ""
            count = f"1 {one}" if found["count"] == 1 else f"{found['count']:,} {several}"
            yield f"{count}: {', '.join(named)}{more}"
