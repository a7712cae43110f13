"""The README of a trained model: what it is, what it was made from, how to use it."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.schema import Json

__all__ = ["model_card"]

_CARD = """---
library_name: editloop
pipeline_tag: image-to-image
tags: [image-editing, instruction-based-image-editing, diffusion]
---

# {name}

An instruction-based image editor of {millions:.1f} million parameters, for pictures of about
{size} x {size} pixels, trained from scratch on {samples} edits. It is small on purpose: it shows
what a data set teaches, within minutes on a CPU. It knows the kinds of edit and of picture it was
trained on, and no others.

Conditioned on: instruction, {conditions}.

## Use

```bash
editloop edit photo.png "{example}" --editor {spec} -o edited.png
```
{rewards}
## How it was made

| fact | value |
| --- | --- |
{facts}

`metrics.jsonl` has its loss by step. The same recipe, data, seed and number of threads make the
same weights on the same machine.
"""

_REWARDS = """
What the edit should be worth is set by `reward=FOLLOWING,PRESERVING,QUALITY` (each 0 to 5;
`5,5,5` unless you say otherwise; `none` asks without rewards), and by `reward_text`.
"""


def model_card(name: str, made: Mapping[str, Json]) -> str:
    """A model's README in Markdown, from the facts of its making (see `PocketTraining`)."""
    settings = dict(made["training"])
    rewarded = "reward" in settings["conditions"]
    if not rewarded:
        settings.pop("reward")
    plain = {key: value for key, value in {**settings, **made}.items() if key != "training"}
    return _CARD.format(
        name=name,
        millions=made["parameters"] / 1e6,
        size=settings["size"],
        samples=made["samples"],
        conditions=", ".join(settings["conditions"]),
        example="make it black and white",
        spec=f"diffusion:{name}",
        rewards=_REWARDS if rewarded else "",
        facts="\n".join(f"| {key} | {value} |" for key, value in sorted(plain.items())),
    )
