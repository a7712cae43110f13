"""MagicBrush (arXiv:2306.10012): sessions of manual edits, with masks. The files of a split:

    images/<id>/<id>-input.png, <id>-output<i>.png, <id>-mask<i>.png
    edit_sessions.json          id -> turns with `input`, `output`, `mask`, `instruction`
    local_descriptions.json     id -> file name -> caption of the edited part
    global_descriptions.json    id -> file name -> caption of the whole picture

A sample's `target_caption` is the local caption, with which the released evaluator measures CLIP-T;
the global captions of target and source are in its provenance. Each caption file is optional, but
must describe every output if it exists.

The hub's table files, one or more per split, have the columns img_id, turn_index, source_img,
mask_img, instruction and target_img, and no captions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from editloop.schema import EditSample, Json, Provenance
from editloop.sources.columns import COLUMNS, Rules
from editloop.sources.entries import BLANK, Entry, Index, Problem, below, read_index
from editloop.sources.files import EXTENSIONS
from editloop.sources.table_files import has_rows
from editloop.sources.tables import table_index

__all__ = ["MagicBrush", "magicbrush_index"]

_SESSIONS = "edit_sessions.json"
_LOCAL = "local_descriptions.json"
_GLOBAL = "global_descriptions.json"
_AGAIN = "unpack the data set again"

_Captions = Mapping[str, Json] | None  # by file name; None if the caption file is missing


@dataclass(frozen=True, slots=True)
class _Texts:
    """A session's captions."""

    local: _Captions
    whole: _Captions


_ROWS = Rules(
    "magicbrush",
    columns={
        **COLUMNS,
        "id": (),
        "session": ("img_id",),
        "turn": ("turn_index",),
        "source": ("source_img",),
        "target": ("target_img",),
        "mask": ("mask_img",),
        "instruction": ("instruction",),
    },
    needs=frozenset({"session", "turn", "source", "target", "instruction"}),
    chained=True,
)


def magicbrush_index(folder: Path, split: str | None) -> Index:
    """Return the index of the layout `magicbrush`, from table files if there are any."""
    if split is None and not has_rows(folder):
        return MagicBrush(folder)
    return table_index(folder, _ROWS, split)


class MagicBrush:
    """The index of an unpacked split; the folder is the split, not its `images/`."""

    name = "magicbrush"
    version = "1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._images = folder / "images"

    def listings(self) -> Sequence[Path]:
        paths = [self.folder / name for name in (_SESSIONS, _LOCAL, _GLOBAL)]
        return [path for path in paths if path.is_file()]

    def tables(self) -> Sequence[Path]:
        return ()

    def sessions(self) -> Iterator[Sequence[Entry] | Problem]:
        if not (self.folder / _SESSIONS).is_file():
            yield self._misplaced()
            return
        if not self._images.is_dir():
            yield Problem("images", "the folder of pictures is missing", _AGAIN)
            return
        listed = read_index(self.folder / _SESSIONS)
        captions = {name: self._captions(name) for name in (_LOCAL, _GLOBAL)}
        found = (listed, *captions.values())
        yield from (problem for problem in found if isinstance(problem, Problem))
        if isinstance(listed, Problem):
            return
        yield from self._unlisted(listed)
        for session, turns in listed.items():
            texts = _Texts(*(_of_session(captions[name], session) for name in (_LOCAL, _GLOBAL)))
            yield from self._session(session, turns, texts)

    def _misplaced(self) -> Problem:
        """Return the problem of a folder that is not a split, with the folder to use instead."""
        if (self.folder.parent / _SESSIONS).is_file():
            fix = f"give the folder above it, {self.folder.parent}"
        else:
            splits = [path.parent.name for path in sorted(self.folder.glob(f"*/{_SESSIONS}"))]
            fix = f"give a split below it: {', '.join(splits)}" if splits else _AGAIN
        return Problem(str(self.folder), f"there is no {_SESSIONS} in it", fix)

    def _captions(self, name: str) -> Mapping[str, Json] | Problem | None:
        path = self.folder / name
        return read_index(path) if path.is_file() else None

    def _unlisted(self, listed: Mapping[str, Json]) -> Iterator[Problem]:
        """Yield a problem for each session folder that is not in the index."""
        for path in sorted(self._images.iterdir()):
            if path.is_dir() and not path.name.startswith(".") and path.name not in listed:
                fix = "add it to the index, or remove its folder"
                yield Problem(f"images/{path.name}", f"it is not listed in {_SESSIONS}", fix)

    def _session(
        self, session: str, turns: Json, texts: _Texts
    ) -> Iterator[Sequence[Entry] | Problem]:
        folder = below(self._images, session)
        if folder is None or folder.parent != self._images:
            yield Problem(_SESSIONS, f"{session!r} is not a valid session name", "rename it")
        elif not folder.is_dir():
            yield Problem(f"images/{session}", "the session's folder is missing", _AGAIN)
        elif not isinstance(turns, list) or not turns:
            yield Problem(session, "the session has no list of turns", "list its turns")
        else:
            made = [
                self._turn(session, number, turn, texts)
                for number, turn in enumerate(turns, start=1)
            ]
            entries = [item for item in made if isinstance(item, Entry)]
            yield from (item for item in made if isinstance(item, Problem))
            yield from _faults(entries, folder, texts)
            yield entries

    def _turn(self, session: str, number: int, turn: Json, texts: _Texts) -> Entry | Problem:
        where = f"{session}/{number}"
        if not isinstance(turn, dict) or not isinstance(turn.get("instruction"), str):
            return Problem(where, "the turn has no instruction", f"correct {_SESSIONS}")
        folder = self._images / session
        paths = {name: below(folder, turn.get(name)) for name in ("input", "output", "mask")}
        for name, path in paths.items():
            if path is None and (name != "mask" or turn.get("mask") is not None):
                return Problem(where, f"the turn has no valid {name} file", f"correct {_SESSIONS}")
        source, target = paths["input"], paths["output"]
        assert source is not None
        assert target is not None
        sample = EditSample(
            id=where,
            source=BLANK,
            instruction=turn["instruction"],
            target_caption=(texts.local or {}).get(target.name),
            session=session,
            turn=number,
            parent_id=None if number == 1 else f"{session}/{number - 1}",
            provenance=self._provenance(source, target, texts.whole or {}),
        )
        return Entry(where, sample, source, target, paths["mask"])

    def _provenance(self, source: Path, target: Path, captions: Mapping[str, Json]) -> Provenance:
        return Provenance(
            generator=self.name,
            revision=self.version,
            parameters={
                "global_caption": captions.get(target.name),
                "global_caption_source": captions.get(source.name),
            },
            source_uri=source.absolute().as_uri(),
        )


def _of_session(captions: Mapping[str, Json] | Problem | None, session: str) -> _Captions:
    if captions is None or isinstance(captions, Problem):
        return None
    own = captions.get(session, {})
    return own if isinstance(own, dict) else {}


def _faults(entries: Sequence[Entry], folder: Path, texts: _Texts) -> Iterator[Problem]:
    """Yield the problems of a session: broken chains, missing captions, outputs without a turn."""
    for before, after in pairwise(entries):
        follows = after.sample.turn == before.sample.turn + 1  # no faulty turn between the two
        if follows and after.source != before.target:
            cause = "its input is not the output of the turn before"
            yield Problem(after.where, cause, f"correct {_SESSIONS}: a turn is missing or misnamed")
    outputs = {entry.target.name for entry in entries if isinstance(entry.target, Path)}
    for name, captions in ((_LOCAL, texts.local), (_GLOBAL, texts.whole)):
        if captions is None:
            continue
        for output in sorted(outputs):
            caption = captions.get(output)
            if not isinstance(caption, str) or not caption.strip():
                yield Problem(f"{name} {folder.name}", f"no caption of {output}", "add its caption")
    for path in sorted(folder.iterdir()):
        # The released evaluator counts every picture with `output` in its name as a turn.
        if "output" in path.name and path.suffix in EXTENSIONS and path.name not in outputs:
            fix = "add its turn to the index, or remove the file"
            yield Problem(f"images/{folder.name}/{path.name}", f"{_SESSIONS} has no such turn", fix)
