"""The run that requests of a step's editor or generator to a server are paid and counted in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from editloop.chat.usage import ChatUsage, usage_of_run
from editloop.images.codec import content_hash
from editloop.registry import Spec, settings_of

__all__ = ["in_run", "run_of", "run_usage"]


def run_of(kind: str, name: str, cache: Path | None) -> str:
    """Return the run of a kind of step in a build, by its cache; `name` is that of the model."""
    place = "" if cache is None else str(cache.resolve())
    return f"{kind}-{content_hash(f'{place} {name}'.encode())[:16]}"


def in_run(spec: Spec, group: str, run: str) -> Spec:
    """Return the same SPEC, with its requests to a server in this run if it sets none."""
    takes = "run" in settings_of(group, spec.kind).model_fields
    return replace(spec, settings={"run": run, **spec.settings}) if takes else spec


def run_usage(made: Any, run: str) -> ChatUsage:
    """Return the usage of an object's server in a run; none if it has no server."""
    account = getattr(made, "account", None)
    return ChatUsage() if account is None else usage_of_run(account[0], account[1] or run)
