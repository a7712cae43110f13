"""InstructPix2Pix's data (arXiv:2211.09800) as folders: one per prompt, with one or more pairs.

    seeds.json                           [[folder, [seed, ...]], ...]
    <folder>/prompt.json                 edit (a text, or a list whose first is used), captions
    <folder>/<seed>_0.jpg, <seed>_1.jpg  the picture before and after
    <folder>/metadata.jsonl              for each seed: its settings and CLIP similarities

Without a `seeds.json` the folders are found by their `prompt.json`; `metadata.jsonl` is optional.
RewardEdit-20K (arXiv:2411.04713) refers to triplets by these folders.

The hub's table files have the columns original_prompt, original_image, edit_prompt, edited_prompt
and edited_image.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from editloop.schema import EditSample, Json, Provenance, Score
from editloop.sources.captions import METADATA
from editloop.sources.columns import COLUMNS, Rules, is_number
from editloop.sources.entries import BLANK, Entry, Index, Problem, below, read_index, read_json
from editloop.sources.files import read_file
from editloop.sources.table_files import has_rows
from editloop.sources.tables import table_index

__all__ = ["InstructPix2Pix", "instruct_pix2pix_index"]

_NAME = "instruct-pix2pix"
_SEEDS = "seeds.json"
_PROMPT = "prompt.json"
_SCORES = {  # to UltraEdit's names for the same measures
    "clip_sim_0": "clip_sim_source",
    "clip_sim_1": "clip_sim_target",
    "clip_sim_dir": "clip_sim_dir",
    "clip_sim_image": "clip_sim_image",
}
_KEPT = ("p2p_threshold", "cfg_scale")

_ROWS = Rules(
    _NAME,
    version="2",
    columns={
        **COLUMNS,
        "id": (),
        "session": (),
        "turn": (),
        "source": ("original_image",),
        "target": ("edited_image",),
        "mask": (),
        "instruction": ("edit_prompt",),
        "source_caption": ("original_prompt",),
        "target_caption": ("edited_prompt",),
    },
    needs=frozenset({"source", "target", "instruction"}),
)


def instruct_pix2pix_index(folder: Path, split: str | None) -> Index:
    """Return the index of the layout `instruct-pix2pix`, from table files if there are any."""
    if split is None and not has_rows(folder):
        return InstructPix2Pix(folder)
    return table_index(folder, _ROWS, split)


class InstructPix2Pix:
    """The index of the folders.

    An edit's id is its folder, or FOLDER/SEED if the folder contains several pairs.
    """

    name = _NAME
    version = "2"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def listings(self) -> Sequence[Path]:
        seeds = self.folder / _SEEDS
        found = [*self.folder.rglob(_PROMPT), *self.folder.rglob(METADATA)]
        return [*([seeds] if seeds.is_file() else []), *sorted(found)]

    def tables(self) -> Sequence[Path]:
        return ()

    def sessions(self) -> Iterator[Sequence[Entry] | Problem]:
        listed = (self.folder / _SEEDS).is_file()
        for item in self._listed() if listed else self._found():
            if isinstance(item, Problem):
                yield item
                continue
            for edit in self._edits(*item):
                yield edit if isinstance(edit, Problem) else [edit]

    def _listed(self) -> Iterator[tuple[str, Sequence[Json]] | Problem]:
        content = read_json(self.folder / _SEEDS)
        if isinstance(content, Problem):
            yield content
        elif not isinstance(content, list):
            yield Problem(_SEEDS, "the file does not contain a list", "download it again")
        else:
            for at, item in enumerate(content):
                match item:
                    case [str(name), [_, *_] as seeds] if below(self.folder, name):
                        yield name, seeds
                    case _:
                        cause = "it is no folder with a list of seeds"
                        yield Problem(f"{_SEEDS} item {at}", cause, "correct it", "edit")

    def _found(self) -> Iterator[tuple[str, Sequence[Json]]]:
        """Yield each folder with a prompt, and the seeds of its pictures."""
        for path in sorted(self.folder.rglob(_PROMPT)):
            seeds = [each.name.removesuffix("_0.jpg") for each in path.parent.glob("*_0.jpg")]
            yield path.parent.relative_to(self.folder).as_posix(), sorted(seeds)

    def _edits(self, name: str, seeds: Sequence[Json]) -> Iterator[Entry | Problem]:
        where = f"{name}/{_PROMPT}"
        prompt = read_index(self.folder / where)
        if isinstance(prompt, Problem):
            yield Problem(where, prompt.cause, prompt.fix, "edit")
            return
        edit = prompt.get("edit")
        text = edit[0] if isinstance(edit, list) and edit else edit
        if not isinstance(text, str):
            yield Problem(where, "it has no `edit`", "fetch it again", "edit")
            return
        if not seeds:
            yield Problem(name, "it holds no SEED_0.jpg", "fetch it again", "edit")
        measured = _measured(self.folder / name / METADATA)
        for seed in map(str, seeds):
            own = name if len(seeds) == 1 else f"{name}/{seed}"
            edit = self._edit(own, self.folder / name, seed, text, prompt)
            yield replace(_with_measures(edit, measured.get(seed, {})), group=name)

    def _edit(
        self, name: str, folder: Path, seed: str, instruction: str, prompt: Mapping[str, Json]
    ) -> Entry:
        source = folder / f"{seed}_0.jpg"
        sample = EditSample(
            id=name,
            source=BLANK,
            instruction=instruction,
            source_caption=_text(prompt, "input", "caption"),
            target_caption=_text(prompt, "output"),
            provenance=Provenance(
                self.name,
                self.version,
                parameters={"seed": seed},
                source_uri=source.absolute().as_uri(),
            ),
        )
        return Entry(name, sample, source, folder / f"{seed}_1.jpg")


def _measured(path: Path) -> dict[str, Mapping[str, Json]]:
    """Return the measures of each seed's pair; lines that cannot be read are skipped."""
    if not path.is_file():
        return {}
    found: dict[str, Mapping[str, Json]] = {}
    for line in read_file(path).splitlines():
        try:
            facts = json.loads(line)
        except ValueError:
            continue
        if isinstance(facts, dict):
            found[str(facts.get("seed"))] = facts
    return found


def _with_measures(edit: Entry, facts: Mapping[str, Json]) -> Entry:
    made = edit.sample.provenance
    assert made is not None
    numbers = {name: value for name, value in facts.items() if is_number(value)}
    scores = {
        name: Score(float(numbers[own]), version=f"{_NAME} {InstructPix2Pix.version}")
        for own, name in _SCORES.items()
        if own in numbers
    }
    kept = {name: numbers[name] for name in _KEPT if name in numbers}
    made = replace(made, parameters={**made.parameters, **kept})
    return replace(edit, sample=replace(edit.sample, scores=scores, provenance=made))


def _text(prompt: Mapping[str, Json], *names: str) -> str | None:
    return next((prompt[name] for name in names if isinstance(prompt.get(name), str)), None)
