"""The part `rewards`: statistics of what judges said of a run's data, and the rewards to take away.

rewards.json        distributions, means with intervals, words, by split
rewards.html        the same to look at (Figures 3 and 4 of arXiv:2411.04713), with samples
reward-edit.json    the rewards in RewardEdit-20K's form, of samples that have all three
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
    """Counts scores and words of every split; raises RecipeError where there is no score at all."""

    version = "1"

    class Settings(Settings):
        """How much the page shows, and how the intervals are made."""

        samples: Annotated[int, Field(ge=0, description="shown of each split")] = 12
        words: Annotated[int, Field(ge=0, le=100, description="shown of each perspective")] = 24
        resamples: Annotated[int, Field(ge=100, description="of the bootstrap")] = 1000

    def __init__(self, settings: RewardStatistics.Settings) -> None:
        self._settings = settings

    @property
    def parameters(self) -> Mapping[str, Json]:
        return self._settings.model_dump(mode="json")

    def run(self, context: PartContext) -> PartResult:
        """Read the run's data once for its scores, and once for its means."""
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
    """Why there is no score at all."""
    if samples:
        return RecipeError(
            "the data has no scores to count", value=run / "data", fix="give the recipe a `judge`"
        )
    return RecipeError(
        "no edit came through whose scores could be counted",
        value=run / "rejects",
        fix=f"see why in its tables; `editloop retry {run}` tries again what may pass",
    )


def _export(data: Path, tallies: Mapping[str, SplitTally], path: Path) -> Json:
    """How many rewards were written; None where a perspective of RewardEdit's is nowhere scored."""
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
    """What stands in the run's results: the rest is in `rewards.json`."""
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
