"""Reward texts: short sentences that describe a fault and its severity.

They take the place of GPT-4o's feedback in the Multi-Reward paper (section 3, figure 4).
"""

from __future__ import annotations

from editloop.schema import EditType

__all__ = ["describe"]

# {subject}: the edit's subject with its article; {degree}: the fault's degree.
_TEXTS: dict[str, tuple[str, ...]] = {
    "nothing": (
        "{subject} was not changed",
        "the edit was not executed",
        "the instruction was ignored, {subject} is as before",
    ),
    "half_strength": (
        "the edit was poorly executed, {subject} was only {degree} changed",
        "{subject} was changed only in part",
        "the change to {subject} is too weak",
    ),
    "wrong_attribute": (
        "{subject} was changed, but not as asked",
        "the edit of {subject} has the wrong look",
        "{subject} was given a {degree} wrong look",
    ),
    "wrong_object": (
        "the wrong object was edited instead of {subject}",
        "something else than {subject} was edited",
    ),
    "colour_cast": (
        "unintended {degree} colour cast outside the edit",
        "the colours of the rest changed {degree}ly",
        "a {degree} magenta tint covers what should stay",
    ),
    "blur": (
        "the rest of the picture lost its details, a {degree} blur",
        "unintended {degree} blur outside the edit",
    ),
    "shift": (
        "the whole picture moved {degree}ly, positions changed",
        "unintended {degree} shift of the picture",
    ),
    "zoom": (
        "the picture was cropped and enlarged, a {degree} zoom",
        "unintended {degree} zoom, the borders are lost",
    ),
    "blocks": ("{degree} compression blocks", "the picture is blocky, {degree} loss of detail"),
    "noise": ("{degree} noise over the picture", "the picture is grainy, {degree} noise"),
    "banding": ("{degree} banding, smooth areas show steps", "gradients broke into {degree} bands"),
    "halo": ("a {degree} halo around the edit", "the edge of the edit glows, {degree} halo"),
    "ringing": ("{degree} ringing beside the edges", "edges are doubled by {degree} echoes"),
}
_BY_TYPE: dict[tuple[str, EditType], tuple[str, ...]] = {
    ("nothing", EditType.ADD): (
        "{subject} was not added",
        "{subject} is missing",
        "the edit was not executed, {subject} is missing",
    ),
    ("nothing", EditType.REMOVE): (
        "{subject} was not removed",
        "{subject} is still there",
        "the edit was not executed, {subject} is still there",
    ),
    ("half_strength", EditType.ADD): (
        "{subject} was added but is transparent",
        "the edit was poorly executed, {subject} is barely visible",
    ),
    ("half_strength", EditType.REMOVE): (
        "{subject} was only {degree} removed",
        "traces of {subject} are left",
    ),
    ("wrong_object", EditType.ADD): ("something else than {subject} was added",),
    ("wrong_object", EditType.REMOVE): ("something else than {subject} was removed",),
}
_PARTLY = {"half_strength": ("mostly", "partly", "slightly")}
_DEGREES = ("slight", "clear", "strong")


def describe(
    kind: str, severity: float, choice: float, edit_type: EditType, subject: str | None = None
) -> str:
    """Describe a fault in words; `choice` in [0, 1) picks one of the wordings.

    `subject` is a noun without an article, such as "red ball"; None means the picture.
    """
    texts = _BY_TYPE.get((kind, edit_type), _TEXTS[kind])
    degree = _PARTLY.get(kind, _DEGREES)[min(2, int(3 * severity))]
    named = f"the {subject}" if subject else "the picture"
    return texts[int(choice * len(texts))].format(subject=named, degree=degree)
