"""HTML pages: self-contained, escaped and deterministic."""

from __future__ import annotations

from pathlib import Path

import jinja2

from editloop.schema import Json
from editloop.storage.files import Files, explained, replace_file

__all__ = ["render", "write_page"]


def render(template: str, **values: Json) -> str:
    """Return a page rendered from one of this package's templates; a missing value is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("editloop.showing"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def write_page(path: Path, template: str, **values: Json) -> None:
    """Write a page rendered from one of this package's templates, replacing an older one."""
    with explained("write a page", path):
        replace_file(Files(), path, render(template, **values).encode("utf-8"))
