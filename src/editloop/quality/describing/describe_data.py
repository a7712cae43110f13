"""The verb `describe`: what a data set consists of, as one call.

The tables and figures by which data sets are published: instructions by type (arXiv:2407.05282,
supplement, Table 5), the lengths of instructions and their keywords (arXiv:2404.09990, Figures 5
and 6), edit types, sizes, licences and scores. Nothing is measured, and no picture but masks is
decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from editloop.quality.describing.page import write_description_page
from editloop.quality.describing.tally import DataTally
from editloop.registry import parse_spec
from editloop.schema import Json, readable_json
from editloop.sources.entries import Entry, Index, Problem
from editloop.sources.layouts import layout_of, open_index
from editloop.sources.reading import refuse
from editloop.storage.files import Files, explained, replace_file

__all__ = ["describe_data"]

_VERSION = "1"
_RESULTS, _PAGE = "describe.json", "describe.html"


def describe_data(
    data: Path | str, out: Path | str, *, layout: str | None = None
) -> dict[str, Json]:
    """Count what a data set holds; write `describe.json` and a page, return the JSON's content.

    `layout` is KIND[?key=value] (default: detected). The data is read once, edit by edit; memory
    does not grow with it. Edits with a fault are counted in `left_out` by the fault's code;
    RecipeError if the whole set has one, or nothing is left.
    """
    folder, place = Path(data).expanduser(), Path(out)
    spec = parse_spec(layout or layout_of(folder), "layout")
    index = open_index(spec.kind, folder, **spec.settings)
    tally, first = DataTally(), None
    for found in _entries(index):
        if isinstance(found, Entry):
            tally.add(found)
            continue
        refuse([found] if found.costs == "set" else [], folder)
        first = first or found
        tally.leave_out(found.code)
    if not tally.edits:
        refuse([first or Problem(str(folder), "it contains no edit", "choose another")], folder)
    results = {
        "version": _VERSION,
        "data": folder.resolve().name,
        "layout": {"name": index.name, "version": index.version},
        **tally.to_json(),
    }
    with explained("write the description of a data set", place):
        place.mkdir(parents=True, exist_ok=True)
        replace_file(Files(), place / _RESULTS, readable_json(results))
    write_description_page(results, place / _PAGE)
    return results


def _entries(index: Index) -> Iterator[Entry | Problem]:
    """Yield the edits and the problems of an index, in order."""
    for session in index.sessions():
        if isinstance(session, Problem):
            yield session
        else:
            yield from session
