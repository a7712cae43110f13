"""The README of a trained diffusion editor."""

from __future__ import annotations

from collections.abc import Mapping

from editloop.models.backbones.model import DiffusionModel
from editloop.schema import Json
from editloop.training.trained import course_text

__all__ = ["diffusion_card"]

_CARD = """---
library_name: diffusers
pipeline_tag: image-to-image
tags: [image-editing, instruction-based-image-editing, editloop]
base_model: {base}
---

# {name}

An instruction-based image editor: {base}, trained on {samples} edits by EditLoop. It is conditioned
on the instruction, {conditions}.

## Use

```bash
editloop edit photo.png "make it night" --editor DIR_OF_THIS_FILE -o edited.png
```

{defaults}
{plain}{rewards}{course}
## How it was made

| fact | value |
| --- | --- |
{facts}

`metrics.jsonl` lists the loss by step. The licence of the base applies to these weights too.
"""

_PLAIN = """
```python
from diffusers import {pipeline}

pipeline = {pipeline}.from_pretrained("DIR_OF_THIS_FILE")
```
"""

_LORA = """
The weights are adapters (LoRA) for that base:

```python
from diffusers import {pipeline}

pipeline = {pipeline}.from_pretrained("{base}")
pipeline.load_lora_weights("DIR_OF_THIS_FILE")
```
"""

_REWARDS = """
Set the target scores with `reward=FOLLOWING,PRESERVING,QUALITY` (each 0 to 5, default
`5,5,5`{none}), and the target reward text with `reward_text`.
"""


def diffusion_card(name: str, model: DiffusionModel, made: Mapping[str, Json]) -> str:
    """Return a model's README in Markdown, from the facts that `DiffusionTraining` saves."""
    settings = {key: value for key, value in made["training"].items() if key != "base"}
    none = "; `none` edits without rewards" if made.get("edits_unrewarded") else ""
    facts = {**settings, **{key: value for key, value in made.items() if key != "training"}}
    return _CARD.format(
        name=name,
        base=model.base,
        samples=made["samples"],
        conditions=", ".join(model.conditions),
        defaults=_defaults(model),
        plain=_plain_use(model),
        rewards=_REWARDS.format(none=none) if "reward" in model.conditions else "",
        course=course_text(made),
        facts="\n".join(f"| {key} | {value} |" for key, value in sorted(facts.items())),
    )


def _defaults(model: DiffusionModel) -> str:
    """Return a sentence with the editing settings that the model's family has by default."""
    editing = model.family.editing
    scales = [
        f"text guidance {editing.text_guidance:g}",
        f"image guidance {editing.image_guidance:g}",
    ]
    if editing.guidance is not None:
        scales.append(f"guidance {editing.guidance:g} as an input of the network")
    return f"It edits in {editing.steps} steps by default, with {', '.join(scales)}."


def _plain_use(model: DiffusionModel) -> str:
    """Return the code that loads the model with plain diffusers, or "" if that cannot load it."""
    if not model.loads_plainly:
        return ""
    text = _PLAIN if model.lora is None else _LORA
    return text.format(pipeline=model.family.saved_as, base=model.base)
