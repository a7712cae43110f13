"""One entry of a recipe's list: a part, or a `retry` with steps of its own."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

from editloop.schema import Json

__all__ = ["RETRY", "Entry", "long_form"]

RETRY = "retry"


class Entry(BaseModel):
    """One entry of a recipe's list: `kind`, an optional `name`, and the kind's own settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    name: str = Field(default="", pattern=r"^[\w.+-]*$")

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, value: Json) -> Json:
        value = long_form(value)
        if isinstance(value, Mapping) and "kind" in value and "name" not in value:
            return {**value, "name": value["kind"]}
        return value

    @property
    def own(self) -> dict[str, Json]:
        """The settings of the kind."""
        return dict(self.model_extra or {})


def long_form(entry: Json) -> Json:
    """Return `{retry: {...}}` as an entry of the kind `retry`; any other entry as it is."""
    if not isinstance(entry, Mapping) or "kind" in entry or set(entry) - {RETRY, "name"}:
        return entry
    form = entry.get(RETRY)
    if not isinstance(form, Mapping):
        return entry
    return {"kind": RETRY, **{key: entry[key] for key in entry if key != RETRY}, **form}
