"""InstructPix2Pix's data (arXiv:2211.09800) as folders: one per prompt, with one or more pairs.

    seeds.json                           [[folder, [seed, ...]], ...]
    <folder>/prompt.json                 edit (a text, or a list whose first is used), captions
    <folder>/<seed>_0.jpg, <seed>_1.jpg  the picture before and after
    <folder>/metadata.jsonl              for each seed: its settings and CLIP similarities

Without a `seeds.json` the folders are found by their `prompt.json`, in the order of their names; as
in the authors' `prepare_dataset.py`, a folder without pictures is a prompt that kept no pair, and
is passed over. `metadata.jsonl` is optional. The authors' `edit_dataset.py` divides the prompts in
this order into train, val and test. RewardEdit-20K (arXiv:2411.04713) refers to triplets by these
folders.

The hub's table files have the columns original_prompt, original_image, edit_prompt, edited_prompt
and edited_image.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from editloop.errors import RecipeError
from editloop.runtime.seeding import derive_seed
from editloop.schema import EditSample, Json, Provenance, Score
from editloop.sources.captions import METADATA
from editloop.sources.columns import COLUMNS, Rules, is_number
from editloop.sources.entries import BLANK, Entry, Index, Problem, below, read_index, read_json
from editloop.sources.files import read_file
from editloop.sources.table_files import has_rows
from editloop.sources.tables import TableSettings, table_index

__all__ = [
    "InstructPix2Pix",
    "InstructPix2PixSettings",
    "holds_prompts",
    "instruct_pix2pix_index",
    "shares_of",
]

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
_SHARES = {"train": (0.0, 0.9), "val": (0.9, 0.9 + 0.05), "test": (0.9 + 0.05, 1.0)}  # of prompts

_Prompt = tuple[str, Sequence[Json]]  # a folder and its seeds

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


class InstructPix2PixSettings(TableSettings):
    """The split (train, val or test for folders), and the pairs that are read of each prompt."""

    pairs: Literal["all", "one"] = Field(
        default="all", description="of each folder's prompt; one: a random one, as in evaluation"
    )
    seed: int = Field(default=0, ge=0, description="seed of `pairs: one`")


def instruct_pix2pix_index(
    folder: Path, split: str | None, pairs: Literal["all", "one"], seed: int
) -> Index:
    """Return the index of the layout `instruct-pix2pix`: of folders, or of table files."""
    if holds_prompts(folder) or not has_rows(folder):
        return InstructPix2Pix(folder, split, seed if pairs == "one" else None)
    if pairs == "one":
        raise RecipeError(
            "table files do not tell which pairs are of one prompt",
            value="pairs: one",
            fix="use the authors' folders, or read all pairs",
        )
    return table_index(folder, _ROWS, split)


def holds_prompts(folder: Path) -> bool:
    """Return whether a folder holds the authors' folders of prompts."""
    prompts = (folder.glob(f"{above}/{_PROMPT}") for above in ("*", "*/*"))
    return (folder / _SEEDS).is_file() or any(next(each, None) is not None for each in prompts)


def shares_of(folder: Path) -> Sequence[str]:
    """Return the authors' splits if a folder holds their folders of prompts."""
    return tuple(_SHARES) if holds_prompts(folder) else ()


class InstructPix2Pix:
    """The index of the folders, or of one of the authors' splits of them.

    An edit's id is its folder, or FOLDER/SEED if the folder contains several pairs. With a
    `choice`, which is a random seed, one pair is read of each folder.
    """

    name = _NAME
    version = "3"

    def __init__(self, folder: Path, split: str | None = None, choice: int | None = None) -> None:
        if split is not None and split not in _SHARES:
            raise RecipeError(
                "unknown split of InstructPix2Pix's folders",
                value=split,
                fix=f"choose one of {', '.join(_SHARES)}, or leave it out for all prompts",
            )
        self.folder = folder
        self._split = split
        self._choice = choice

    def listings(self) -> Sequence[Path]:
        seeds = self.folder / _SEEDS
        found = [*self.folder.rglob(_PROMPT), *self.folder.rglob(METADATA)]
        return [*([seeds] if seeds.is_file() else []), *sorted(found)]

    def tables(self) -> Sequence[Path]:
        return ()

    def sessions(self) -> Iterator[Sequence[Entry] | Problem]:
        prompts = self._listed() if (self.folder / _SEEDS).is_file() else self._found()
        if isinstance(prompts, Problem):
            yield prompts
            return
        if not prompts:
            yield Problem(str(self.folder), f"no {_PROMPT} with pictures", "choose another folder")
        first, last = (math.floor(share * len(prompts)) for share in _share(self._split))
        for item in prompts[first:last]:
            if isinstance(item, Problem):
                yield item
                continue
            for edit in self._edits(*item):
                yield edit if isinstance(edit, Problem) else [edit]

    def _listed(self) -> Sequence[_Prompt | Problem] | Problem:
        content = read_json(self.folder / _SEEDS)
        if isinstance(content, Problem):
            return content
        if not isinstance(content, list):
            return Problem(_SEEDS, "the file does not contain a list", "download it again")
        return [self._prompt(at, item) for at, item in enumerate(content)]

    def _prompt(self, at: int, item: Json) -> _Prompt | Problem:
        match item:
            case [str(name), [_, *_] as seeds] if below(self.folder, name):
                return name, seeds
        cause = "it is not a folder with a list of seeds"
        return Problem(f"{_SEEDS} item {at}", cause, "correct it", "edit")

    def _found(self) -> Sequence[_Prompt]:
        """Return each folder with a prompt and pictures, and the seeds of its pictures."""
        found = []
        for path in sorted(self.folder.rglob(_PROMPT)):
            seeds = [each.name.removesuffix("_0.jpg") for each in path.parent.glob("*_0.jpg")]
            if seeds:
                found.append((path.parent.relative_to(self.folder).as_posix(), sorted(seeds)))
        return found

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
        measured = _measured(self.folder / name / METADATA)
        for seed in map(str, self._chosen(name, seeds)):
            own = name if len(seeds) == 1 else f"{name}/{seed}"
            edit = self._edit(own, self.folder / name, seed, text, prompt)
            yield replace(_with_measures(edit, measured.get(seed, {})), group=name)

    def _chosen(self, name: str, seeds: Sequence[Json]) -> Sequence[Json]:
        """Return the seeds of the pairs to read, which are all or a random one."""
        if self._choice is None:
            return seeds
        return [seeds[derive_seed(self._choice, _NAME, name) % len(seeds)]]

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


def _share(split: str | None) -> tuple[float, float]:
    return (0.0, 1.0) if split is None else _SHARES[split]


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
