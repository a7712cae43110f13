"""The part `rewards`: statistics of judges' scores of a run's data, and the export of the rewards.

rewards.json        distributions, means with intervals, words, by split
rewards.html        the same as a page (Figures 3 and 4 of arXiv:2411.04713), with samples
reward-edit.json    the rewards in RewardEdit-20K's format, of samples that have all three
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from editloop.errors import RecipeError
from editloop.judges.reward_edit import write_reward_edit
from editloop.loop.parts import PartContext, PartResult
from editloop.quality.rewards.page import write_rewards_page
from editloop.quality.rewards.tallies import SplitTally, tally_split
from editloop.schema import PERSPECTIVES, EditSample, Json, readable_json
from editloop.settings import Settings
from editloop.showing.survey import splits
from editloop.storage.files import explained
from editloop.storage.samples import read_samples

__all__ = ["RewardStatistics"]

_RESULTS, _PAGE, _EXPORT = "rewards.json", "rewards.html", "reward-edit.json"


class RewardStatistics:
    """Counts scores and words of every split; raises RecipeError if there is not a score at all."""

    version = "1"

    class Settings(Settings):
        """Sizes of the page's lists, and the number of bootstrap resamples."""

        samples: Annotated[int, Field(ge=0, description="samples shown per split")] = 12
        words: Annotated[int, Field(ge=0, le=100, description="words per perspective")] = 24
        resamples: Annotated[int, Field(ge=100, description="bootstrap resamples")] = 1000

    def __init__(self, settings: RewardStatistics.Settings) -> None:
        self._settings = settings

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self._settings.model_dump(mode="json")

    def run(self, context: PartContext) -> PartResult:
        """Write the statistics, page and export; reads the data once for scores, once for means."""
        data = context.run / "data"
        tallies = {
            split: tally_split(data, split, seed=context.seed, resamples=self._settings.resamples)
            for split in splits(context.run)
        }
        if not any(tally.scores for tally in tallies.values()):
            raise _nothing(context.run, sum(tally.samples for tally in tallies.values()))
        exported = _export(data, tallies, context.output / _EXPORT)
        results = {
            "seed": context.seed,
            "resamples": self._settings.resamples,
            "exported": exported,
            "splits": {split: tally.to_json() for split, tally in tallies.items()},
        }
        _write(results, context.output / _RESULTS)
        settings = self._settings
        write_rewards_page(
            results, context.run, context.output / _PAGE, settings.samples, settings.words
        )
        return PartResult({"rewards": {context.name: _summary(results)}})


def _nothing(run: Path, samples: int) -> RecipeError:
    """Return the error for data without any score."""
    if samples:
        return RecipeError(
            "the data has no scores to count", value=run / "data", fix="add a `judge` to the recipe"
        )
    return RecipeError(
        "the data has no edits: all were dropped or quarantined",
        value=run / "rejects",
        fix=f"see the reasons in its tables; `editloop retry {run}` retries transient failures",
    )


def _export(data: Path, tallies: Mapping[str, SplitTally], path: Path) -> Json:
    """Write the rewards; return their counts, or None if no split scores all three perspectives."""
    scored = [tally.scores for tally in tallies.values()]
    if not any(all(name in scores for name in PERSPECTIVES) for scores in scored):
        return None
    found = write_reward_edit(_samples(data, tallies), path)
    return {"written": found.written, "left_out": found.left_out}


def _samples(data: Path, names: Mapping[str, SplitTally]) -> Iterator[EditSample]:
    for split in names:
        yield from read_samples(data, split)


def _write(results: Json, path: Path) -> None:
    with explained("write statistics of rewards", path):
        path.write_bytes(readable_json(results))


def _summary(results: Mapping[str, Json]) -> Json:
    """Return the part of the results for the run's `results.json`; all are in `rewards.json`."""
    return {
        split: {
            "samples": found["samples"],
            "below_highest": {
                name: score["below_highest"] for name, score in found["scores"].items()
            },
            "means": found["means"]["all"],
        }
        for split, found in results["splits"].items()
    }
