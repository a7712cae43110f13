"""The mended form of a data set, made through the kernel as any other run."""

from __future__ import annotations

import re
from pathlib import Path

from editloop.loop import run as loop
from editloop.loop.recipe import Recipe
from editloop.registry import Spec
from editloop.schema import Json
from editloop.settings import validate

__all__ = ["mend_data"]

_ODD = re.compile(r"[^\w.+-]+")  # characters not allowed in the name of a recipe


def mend_data(folder: Path, layout: Spec, findings: Path, out: Path) -> dict[str, Json]:
    """Repair a data set as `findings`, a lint.json, say, into the run folder `out`.

    Returns the counts of what was kept, dropped and quarantined. New findings make a new version.
    """
    source = {
        "kind": "layout",
        "path": str(folder.absolute()),
        "layout": layout.kind,
        "options": dict(layout.settings),
        "faults": "quarantine",
    }
    content = {
        "name": f"mended-{_ODD.sub('-', folder.resolve().name)}",
        "sources": [source],
        "build": [{"kind": "gather"}, {"kind": "mend", "findings": str(findings.absolute())}],
    }
    made: dict[str, Json] = loop.run(validate(Recipe, content, where="lint"), out, new_version=True)
    counts: dict[str, Json] = made["build"]
    return counts
