"""The README of a trained pocket model."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.schema import Json
from editloop.training.trained import course_text

__all__ = ["model_card"]

_CARD = """---
library_name: editloop
pipeline_tag: image-to-image
tags: [image-editing, instruction-based-image-editing, diffusion]
---

# {name}

An instruction-based image editor of {millions:.1f} million parameters, for pictures of about
{size} x {size} pixels, trained from scratch on {samples} edits. It is small on purpose: it trains
within minutes on a CPU and shows what can be learned from a data set. It only handles the kinds of
edits and pictures that it was trained on.

Conditioned on: instruction, {conditions}.

## Use

```bash
editloop edit photo.png "{example}" --editor {spec} -o edited.png
```
{rewards}{course}
## How it was made

| fact | value |
| --- | --- |
{facts}

`metrics.jsonl` lists the loss by step. The same recipe, data, seed and number of threads give the
same weights on the same machine.
"""

_REWARDS = """
Set the target scores with `reward=FOLLOWING,PRESERVING,QUALITY` (each 0 to 5, default `5,5,5`;
`none` edits without rewards), and the target reward text with `reward_text`.
"""


def model_card(name: str, made: Mapping[str, Json]) -> str:
    """Return a model's README in Markdown, from the facts that `PocketTraining` saves with it."""
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
        course=course_text(made),
        facts="\n".join(f"| {key} | {value} |" for key, value in sorted(plain.items())),
    )
