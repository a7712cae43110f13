"""InstructPix2Pix's data (arXiv:2211.09800) as folders: one a prompt, with one pair or more.

    seeds.json                           [[folder, [seed, ...]], ...]
    <folder>/prompt.json                 edit (a text or several: the first counts), captions
    <folder>/<seed>_0.jpg, <seed>_1.jpg  the picture before and after

Without a `seeds.json` the folders are found by their `prompt.json`. RewardEdit-20K
(arXiv:2411.04713) names its triplets by these folders.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from editloop.schema import EditSample, Json, Provenance
from editloop.sources.entries import BLANK, Entry, Problem, below, read_index, read_json

__all__ = ["InstructPix2Pix"]

_SEEDS = "seeds.json"
_PROMPT = "prompt.json"


class InstructPix2Pix:
    """The index of the layout kind `instruct-pix2pix`.

    An edit's id is its folder, or FOLDER/SEED where the folder holds several pairs.
    """

    name = "instruct-pix2pix"
    version = "1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def listings(self) -> Sequence[Path]:
        seeds = self.folder / _SEEDS
        return [*([seeds] if seeds.is_file() else []), *sorted(self.folder.rglob(_PROMPT))]

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
            yield Problem(_SEEDS, "it holds no list", "fetch it again")
        else:
            for at, item in enumerate(content):
                match item:
                    case [str(name), [_, *_] as seeds] if below(self.folder, name):
                        yield name, seeds
                    case _:
                        cause = "it is no folder with a list of seeds"
                        yield Problem(f"{_SEEDS} item {at}", cause, "correct it")

    def _found(self) -> Iterator[tuple[str, Sequence[Json]]]:
        """The folders that hold a prompt, and the seeds of the pictures beside it."""
        for path in sorted(self.folder.rglob(_PROMPT)):
            seeds = [each.name.removesuffix("_0.jpg") for each in path.parent.glob("*_0.jpg")]
            yield path.parent.relative_to(self.folder).as_posix(), sorted(seeds)

    def _edits(self, name: str, seeds: Sequence[Json]) -> Iterator[Entry | Problem]:
        where = f"{name}/{_PROMPT}"
        prompt = read_index(self.folder / where)
        if isinstance(prompt, Problem):
            yield Problem(where, prompt.cause, prompt.fix)
            return
        edit = prompt.get("edit")
        text = edit[0] if isinstance(edit, list) and edit else edit
        if not isinstance(text, str):
            yield Problem(where, "it has no `edit`", "fetch it again")
            return
        if not seeds:
            yield Problem(name, "it holds no SEED_0.jpg", "fetch it again")
        for seed in map(str, seeds):
            own = name if len(seeds) == 1 else f"{name}/{seed}"
            yield self._edit(own, self.folder / name, seed, text, prompt)

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


def _text(prompt: Mapping[str, Json], *names: str) -> str | None:
    return next((prompt[name] for name in names if isinstance(prompt.get(name), str)), None)
