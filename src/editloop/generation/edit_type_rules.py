"""Rules for the edit types of plain instructions: one verb, one object, nothing else."""

from __future__ import annotations

import re

from editloop.schema import EditType

__all__ = ["type_by_rules"]

_START = r"(?:please |can you |could you )?"
_WHOLE = r"(?:it|this|the (?:whole )?(?:photo|picture|image|scene))"
_COLOURS = (
    "red|green|blue|yellow|orange|purple|violet|pink|brown|black|white|grey|gray|turquoise|golden|"
    "silver|beige|teal|crimson|navy"
)
_STYLES = (
    "oil painting|watercolou?r|pencil sketch|sketch|cartoon|comic|anime|mosaic|engraving|etching|"
    "woodcut|pixel art|charcoal drawing|line drawing|pointillis\\w+|impressionis\\w+|cubis\\w+|"
    "pop art|collage|stained glass"
)
_LIGHTS = (
    "night|night ?time|dusk|dawn|sunset|sunrise|winter|summer|autumn|spring|snowy|rainy|foggy|"
    "misty|sunny|stormy|overcast|brighter|darker|warmer|colder|cooler|black and white|sepia"
)

# (pattern of the whole instruction, Real-Edit's type, UltraEdit's type)
_RULES = tuple(
    (re.compile(_START + pattern, re.IGNORECASE), kind, ultra_edit)
    for pattern, kind, ultra_edit in (
        (rf"(?:turn|make|convert|transform) {_WHOLE} (?:in)?to an? (?:{_STYLES})", EditType.STYLE,
         "transform_global"),
        (rf"(?:make|render|redraw|paint) {_WHOLE} (?:look like|as) an? (?:{_STYLES})",
         EditType.STYLE, "transform_global"),
        (r"(?:change|replace|swap|set) the background (?:to|with|by|for|into) .+",
         EditType.BACKGROUND, "change_global"),
        (rf"(?:make|turn) {_WHOLE} (?:look )?(?:{_LIGHTS})", EditType.GLOBAL, "change_global"),
        (rf"(?:make|turn|paint|colou?r|recolou?r|change) the (?!background)[\w' -]+? (?:to |in )?"
         rf"(?:(?:dark|light|bright|deep) )?(?:{_COLOURS})", EditType.TEXTURE, "change_color"),
        (r"(?:remove|delete|erase) (?!.*background).+", EditType.REMOVE, "others"),
        (r"(?:add|insert) (?!.*(?:background|filter|effect|style|text)).+", EditType.ADD, "add"),
        (r"(?:replace|swap) (?!.*(?:background|behind)).+ (?:with|by|for) .+", EditType.LOCAL,
         "replace"),
    )
)  # fmt: skip
_SEVERAL = re.compile(r"\b(?:and (?!white\b)|then\b|while\b|but\b|also\b)|[;,]", re.IGNORECASE)


def type_by_rules(instruction: str) -> tuple[EditType, str] | None:
    """Return Real-Edit's and UltraEdit's type; None where one plain rule alone does not decide."""
    text = " ".join(instruction.split()).rstrip(".!")
    if _SEVERAL.search(text):
        return None
    found = [(kind, ultra) for pattern, kind, ultra in _RULES if pattern.fullmatch(text)]
    return found[0] if len(found) == 1 else None
