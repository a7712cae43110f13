"""HTML pages: self-contained, escaped, and the same bytes for the same values."""

from __future__ import annotations

from pathlib import Path

import jinja2

from editloop.schema import Json
from editloop.storage.files import Files, explained, replace_file

__all__ = ["render", "write_page"]


def render(template: str, **values: Json) -> str:
    """A page from one of this room's templates; a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("editloop.showing"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def write_page(path: Path, template: str, **values: Json) -> None:
    """Write a page from one of this room's templates, over an older one."""
    with explained("write a page", path):
        replace_file(Files(), path, render(template, **values).encode("utf-8"))
