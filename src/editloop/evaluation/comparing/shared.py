"""The cases that two editors both edited from the same picture, with their pictures.

The data is read from the folder that was evaluated, the edited pictures from the run folders. Both
are named by records that may come from somebody else: only what was evaluated is used.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from editloop.errors import ImageError, StoreError
from editloop.evaluation.answers.case_table import (
    StoredPicture,
    case_files,
    picture_in,
    read_case_rows,
)
from editloop.evaluation.answers.cases import session_digests
from editloop.evaluation.comparing.pairing import Compared
from editloop.evaluation.protocol.card import read_protocol
from editloop.images.codec import decode, resize
from editloop.judges.pairwise import Comparison
from editloop.runtime.seeding import generator
from editloop.schema import EditSample, Json, Pixels
from editloop.sources.layouts import open_layout
from editloop.storage.files import explained

__all__ = ["SharedCases"]

_COLUMNS = ["benchmark", "editor", "id", "turn", "setting", "picture", "sha256", "unedited"]
_DIGESTS = ["benchmark", "digest"]
_PROTOCOL = "protocol"  # the kind of benchmark that names its data


class SharedCases:
    """Iterate comparisons of two editors' pictures in the data's order; `runs` are their folders.

    Both pictures are resized to their source's size, so that size cannot decide. `sample` limits
    them to a random sample of that many cases. Iterating fills `sessions` with each case's session
    and `left_out` with counts, by reason, of cases that cannot be compared, such as a later turn
    that starts from an editor's own picture. Raises StoreError where data or a picture is missing.
    """

    def __init__(
        self,
        benchmark: str,
        pair: tuple[Compared, Compared],
        runs: tuple[Path, Path],
        sample: int | None,
        seed: int,
    ) -> None:
        self.left_out: Counter[str] = Counter()
        self.sessions: dict[str, str] = {}
        self._pictures = tuple(
            _pictures(run, benchmark, each.own) for run, each in zip(runs, pair, strict=True)
        )
        self._samples = _samples(runs[0], benchmark)
        self._digests = _digests(runs[0], benchmark)
        both = sorted(self._pictures[0].keys() & self._pictures[1].keys())
        if sample is not None and sample < len(both):
            drawn = generator(seed, "preferences", benchmark).permutation(len(both))[:sample]
            both = [both[int(at)] for at in drawn]
        self._chosen = frozenset(both)

    def __iter__(self) -> Iterator[Comparison]:
        for session, edit, digest in self._samples:
            if edit.id not in self._chosen:
                continue
            if digest not in self._digests:
                raise StoreError(
                    "the data that the run's recipe names are not those that were evaluated",
                    value=edit.id,
                    fix="evaluate again, or do not trust this run folder",
                )
            first, second = (own[edit.id] for own in self._pictures)
            if isinstance(first, str) or isinstance(second, str):
                self.left_out[first if isinstance(first, str) else str(second)] += 1
                continue
            self.sessions[edit.id] = session
            source = _pixels(edit.source_image.bytes, edit.id)
            edited = (resize(_pixels_in(each), *source.shape[:2]) for each in (first, second))
            yield Comparison(edit.id, source, edit.instruction, *edited)


def _pictures(run: Path, benchmark: str, editor: str) -> dict[str, StoredPicture | str]:
    """Return, by case, an editor's picture, or why it cannot be compared."""
    found: dict[str, StoredPicture | str] = {}
    for path in case_files(run):
        for row in read_case_rows(path, _COLUMNS):
            if (row["benchmark"], row["editor"]) != (benchmark, editor):
                continue
            if row["setting"] == "iterative" and row["turn"] > 1:
                found[row["id"]] = "it starts from the editor's own picture"
            else:
                own = picture_in(path, row)
                found[row["id"]] = f"not edited: {row['unedited']}" if own is None else own
    return found


def _digests(run: Path, benchmark: str) -> set[str]:
    """Return the digests of a benchmark's cases, which name their content."""
    rows = (row for path in case_files(run) for row in read_case_rows(path, _DIGESTS))
    return {row["digest"] for row in rows if row["benchmark"] == benchmark and "digest" in row}


def _pixels_in(picture: StoredPicture) -> Pixels:
    path = picture.folder / picture.name
    with explained("read an edited picture", path):
        data = picture.read()
    return _pixels(data, path)


def _pixels(data: bytes, where: Path | str) -> Pixels:
    try:
        return decode(data)
    except ImageError as error:
        raise StoreError(
            f"a picture cannot be read: {error.cause}",
            value=where,
            fix="evaluate again: finished edits are reused",
        ) from error


def _samples(run: Path, benchmark: str) -> Iterator[tuple[str, EditSample, str]]:
    """Yield a benchmark's edits with the id of their session's first turn, and their digests."""
    entry = _entry(run, benchmark)
    card = read_protocol(entry["protocol"])
    folder = Path(entry["data"])
    layout = open_layout(card.data.layout, folder, reading=None, **card.data.options)
    for session in layout.sessions():
        for edit, digest in zip(session, session_digests(session), strict=True):
            yield session[0].id, edit, digest


def _entry(run: Path, benchmark: str) -> Json:
    """Return the recipe's entry that made the benchmark: it names the data and the card."""
    path = run / "recipe.json"
    with explained("read the run's recipe", path):
        parts = json.loads(path.read_bytes()).get("evaluate", ())
    for part in parts:
        if part["kind"] == _PROTOCOL and benchmark.startswith(f"{part['name']}/"):
            return part
    raise StoreError(
        "the run's recipe does not name the data of this benchmark",
        value=f"{run}: {benchmark}",
        fix="compare runs of `editloop evaluate`",
    )
