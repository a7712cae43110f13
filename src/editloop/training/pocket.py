"""A recipe's train part `pocket`: a pocket model trained on the run's published data."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from editloop.loop.parts import PartContext, PartResult
from editloop.models.pocket import PocketModel, PocketSettings, Vocabulary
from editloop.models.saving import save_model
from editloop.models.tokens import longest, train_tokenizer
from editloop.runtime.ranks import others
from editloop.runtime.seeding import derive_seed
from editloop.schema import Json
from editloop.storage.samples import read_samples
from editloop.training.cache import EditCache, open_cache
from editloop.training.card import model_card
from editloop.training.checkpoints import trim
from editloop.training.data_checks import HELD_OUT, check_data, has_split, rows_of, splits_of
from editloop.training.data_facts import notices, reference_facts, reward_facts
from editloop.training.edits import EditTask
from editloop.training.kept_editors import save_kept
from editloop.training.kept_samples import without
from editloop.training.loop import CHECKPOINTS, METRICS, train
from editloop.training.mask_facts import MaskFacts, TrainingMasks, check_masks
from editloop.training.objective import DropRates, Loss, Objective
from editloop.training.pocket_samples import PocketSamples
from editloop.training.precision import resolved_precision
from editloop.training.schedule import Optimiser, Schedule, is_longer, is_lower_rate
from editloop.training.trained import Trained, trained_facts

__all__ = ["PocketTraining", "PocketTrainingSettings"]

_DROP = DropRates(reward=0.1, mask=0.5)
_OPTIMISER = Optimiser(betas=(0.9, 0.99))
_OF_THE_MACHINE = {"checkpoint_every", "keep"}
_TEXT_TOKENS = 32  # at least: a user's instruction may be longer than those in training


class PocketTrainingSettings(PocketSettings, TrainingMasks):
    """The architecture and the training settings.

    `precision` auto is bfloat16 if the device supports it, else float32. A checkpoint is written
    every `checkpoint_every` steps, of which the last `keep` and the best are kept.
    """

    split: str = "train"
    steps: int = Field(default=1250, ge=1)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    loss: Loss = "rms"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    checkpoint_every: int = Field(default=250, ge=1, description="steps between checkpoints")
    keep: int = Field(default=2, ge=1, description="checkpoints kept, besides the best")


class PocketTraining:
    """Train a pocket model and save a folder that loads as an editor.

    Trainings of one recipe use the same seed and the same order of samples, so they differ in their
    settings only.
    """

    Settings = PocketTrainingSettings
    version = "3"

    def __init__(self, settings: PocketTrainingSettings) -> None:
        self._settings = settings

    @property
    def parameters(self) -> Mapping[str, Json]:
        """The settings that can change the trained weights."""
        return self._settings.model_dump(mode="json", exclude=_OF_THE_MACHINE)

    def check(self, run: Path | None) -> None:
        """Raise an error if the run's data, if there is any yet, cannot be trained on."""
        if run is not None:
            settings = self._settings
            check_data(
                [run],
                settings.split,
                rewarded="reward" in settings.conditions,
                reading=settings.mask_reading,
            )
            self._masks(run)

    def notices(self, run: Path | None) -> list[str]:
        """Return how many scores are missing and samples have masks or references, in words."""
        if run is None or not has_split(run, self._settings.split):
            return []
        return notices(self._data_facts(run) | self._mask_facts(self._masks(run)))

    def _masks(self, run: Path) -> dict[str, MaskFacts]:
        """Return the facts of the masks by split; empty if the model does not take them."""
        settings = self._settings
        if "mask" not in settings.conditions:
            return {}
        return check_masks(splits_of([run], settings.split), settings.split, settings)

    def _mask_facts(self, masks: Mapping[str, MaskFacts]) -> dict[str, Json]:
        return masks[self._settings.split].to_json() if masks else {}

    def _data_facts(self, run: Path) -> dict[str, Json]:
        rows = rows_of([run], self._settings.split)
        rewards = reward_facts(rows) if "reward" in self._settings.conditions else {}
        return rewards | reference_facts(rows)

    def continues(self, before: Mapping[str, Json]) -> bool:
        """Return whether unfinished work with the parameters `before` may go on with these."""
        return is_lower_rate(before, self.parameters) or self.extends(before)

    def extends(self, before: Mapping[str, Json]) -> bool:
        """Return whether a training with the parameters `before` goes on to more steps."""
        return is_longer(before, self.parameters)

    def trim(self, work: Path) -> None:
        """Remove the states of checkpoints that no longer training starts from."""
        trim(work / CHECKPOINTS)

    def run(self, context: PartContext) -> PartResult:
        """Train, continuing an interrupted run, and save the model as `output`."""
        settings = self._settings
        self.check(context.run)
        masks = self._masks(context.run)
        known = self._data_facts(context.run) | self._mask_facts(masks)
        dropped = {name: each.numbers for name, each in masks.items()}
        self._caches(context)  # built before other processes open them
        others(_train_in_process, self, context, dropped)
        model, samples, trained = self._trained(context, dropped)
        facts = {
            "samples": samples,
            "steps": settings.steps,
            "parameters": model.parameter_count,
            "precision": resolved_precision(settings.precision),
            **known,
        }
        results = facts | trained_facts(trained)
        seed = derive_seed(context.seed, "train")
        made = results | {"training": dict(self.parameters), "data": context.inputs, "seed": seed}
        save_model(model, context.output, made)
        save_kept(
            model,
            trained,
            context.work,
            context.output,
            lambda folder, own: save_model(model, folder, {**made, **own}),
        )
        shutil.copyfile(context.work / METRICS, context.output / METRICS)
        card = model_card(context.name, made)
        (context.output / "README.md").write_text(card, encoding="utf-8")
        pace = round(trained.steps / trained.seconds, 3) if trained.steps else None
        return PartResult(results, {"training_seconds": trained.seconds, "steps_per_second": pace})

    def _trained(
        self, context: PartContext, dropped: Mapping[str, tuple[int, ...]]
    ) -> tuple[PocketModel, int, Trained]:
        """Train this process's share of the batches; return also the number of samples."""
        settings = self._settings
        cache, heldout = self._caches(context)
        seed = derive_seed(context.seed, "train")
        model = PocketModel(self._architecture(), _vocabulary(cache, heldout), seed=seed)
        samples = without(PocketSamples(cache, model), dropped.get(settings.split, ()))
        tested = None if heldout is None else PocketSamples(heldout, model)
        task = EditTask(
            model=model,
            samples=samples,
            heldout=tested and without(tested, dropped.get(HELD_OUT, ())),
            objective=Objective(settings.loss, timesteps="mostly-last", drop=_DROP),
            bf16=resolved_precision(settings.precision) == "bf16",
            seed=seed,
        )
        plan = Schedule(
            name=context.name,
            steps=settings.steps,
            batch=settings.batch,
            learning_rate=settings.learning_rate,
            seed=seed,
            optimiser=_OPTIMISER,
            checkpoint_every=settings.checkpoint_every,
            keep=settings.keep,
        )
        return model, len(samples), train(model, task, plan, context.work)

    def _architecture(self) -> PocketSettings:
        names = PocketSettings.model_fields
        return PocketSettings(**{name: getattr(self._settings, name) for name in names})

    def _caches(self, context: PartContext) -> tuple[EditCache, EditCache | None]:
        """Return the training samples, and the held-out ones if the data set has them."""
        data, size = context.run / "data", self._settings.size

        def cached(split: str) -> EditCache:
            samples = partial(read_samples, data, split)
            folder, reading = context.cache / f"{split}-{size}", self._settings.mask_reading
            return open_cache(folder, context.inputs, size, samples, reading)

        cache = cached(self._settings.split)
        return cache, cached(HELD_OUT) if has_split(context.run, HELD_OUT) else None


def _train_in_process(
    part: PocketTraining, context: PartContext, dropped: Mapping[str, tuple[int, ...]]
) -> None:
    part._trained(context, dropped)


def _vocabulary(*caches: EditCache | None) -> Vocabulary:
    """Train a tokenizer on the first cache's texts, with lengths for the texts of all caches."""
    there = [cache for cache in caches if cache is not None]
    tokenizer = train_tokenizer([*there[0].texts, *there[0].reward_texts])
    text = max(longest(tokenizer, cache.texts) for cache in there)
    reward = max(longest(tokenizer, cache.reward_texts) for cache in there)
    return Vocabulary(tokenizer, text=max(_TEXT_TOKENS, text), reward=max(_TEXT_TOKENS, reward))
