"""A recipe's train part `diffusion`: fine-tune a published model into an editor."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from rich.console import Console

from editloop.errors import UnavailableError
from editloop.hub import weights
from editloop.loop.parts import PartContext, PartResult
from editloop.models.backbones.base_loading import check_base, family_named, load_base
from editloop.models.backbones.checking import multiple_of
from editloop.models.backbones.model import DiffusionModel
from editloop.models.backbones.saving import save_diffusion_model
from editloop.models.reward import separator_of
from editloop.runtime.ranks import is_leader, others, spreads_weights
from editloop.runtime.seeding import derive_seed
from editloop.schema import Json
from editloop.showing.terminal import escape
from editloop.storage.files import explained
from editloop.storage.manifests import find_manifest
from editloop.training.checkpoints import trim
from editloop.training.data_checks import (
    check_data,
    has_split,
    has_unrewarded,
    joint_content,
    rows_of,
    splits_of,
)
from editloop.training.data_facts import Reading, lost_edits, notices, text_facts
from editloop.training.diffusion_card import diffusion_card
from editloop.training.diffusion_data import EditData, open_data
from editloop.training.diffusion_settings import DiffusionTrainingSettings, DropSettings
from editloop.training.edits import EditTask
from editloop.training.kept_editors import save_kept
from editloop.training.latents import check_framing
from editloop.training.loop import CHECKPOINTS, METRICS, train
from editloop.training.mask_facts import MaskFacts, check_masks
from editloop.training.memory import advised, check_memory, outlined, try_micro_batch
from editloop.training.mirroring import Mirroring
from editloop.training.precision import resolved_precision
from editloop.training.previews import Looks
from editloop.training.rows import PublishedRows
from editloop.training.schedule import check_schedule, is_longer, is_lower_rate
from editloop.training.trained import Trained, trained_facts

__all__ = ["DiffusionTraining"]

_LOOKS = "samples"
_LOOKED_AT = 100  # edits whose crops a dry run checks


class DiffusionTraining:
    """Train a base model's network under conditions and save a folder that diffusers loads.

    Under a launcher, the main process prepares and saves, and every process trains its share.
    """

    Settings = DiffusionTrainingSettings
    version = "4"

    def __init__(self, settings: DiffusionTrainingSettings) -> None:
        self._settings = settings

    @cached_property
    def parameters(self) -> Mapping[str, Json]:
        """The settings that affect the result, with digests of the base's weights and the data.

        Where the base is on this machine, they include its family's dropout.
        """
        named: dict[str, Json] = {"weights": weights.identity(self._settings.base)}
        if runs := self._settings.runs:
            found = [find_manifest(run, "data") for run in runs]
            contents = [None if each is None else each.content for each in found]
            named["data"] = contents[0] if len(contents) == 1 else contents
        with suppress(UnavailableError):
            rates = self._settings.drop.rates(family_named(self._settings.base).dropout)
            named["drop"] = {name: getattr(rates, name) for name in DropSettings.model_fields}
        return {
            **self._settings.deciding,
            **named,
            "precision": resolved_precision(self._settings.precision),
        }

    def check(self, run: Path | None) -> None:
        """Raise an error for unusable data, a missing or unsuitable base, and too little memory.

        The memory is that of weights, gradients and moments; activations are not known yet.
        """
        settings = self._settings
        check_schedule(settings.plan("check", seed=0))
        runs = settings.runs or (() if run is None else (run,))
        rows = _checked_data(runs, settings) if runs else None
        _checked_masks(runs, settings)
        precision = resolved_precision(settings.precision)
        folder, family = check_base(settings.base, settings.wanted(precision, seed=0))
        settings.objective(outlined(settings))
        if rows is not None:
            check_framing(settings.framing, multiple_of(folder, family), rows)
        check_memory(settings)

    def notices(self, run: Path | None) -> list[str]:
        """Return what is cut, lost or not read of the data, in words; no weights are read."""
        settings = self._settings
        runs = settings.runs or (() if run is None else (run,))
        if not runs or not all(has_split(each, settings.split) for each in runs):
            return []
        try:
            model = outlined(settings)
        except UnavailableError:  # it will be downloaded
            return []
        masks = _checked_masks(runs, settings)
        lost = lost_edits(rows_of(runs, settings.split), settings.framing, _LOOKED_AT)
        crops = dict(zip(("lost_edits", "lost_edits_of"), lost, strict=True))
        return notices(self._text_facts(runs, model) | crops | _mask_facts(masks, settings))

    def _text_facts(self, runs: Sequence[Path], model: DiffusionModel) -> dict[str, Json]:
        settings = self._settings
        separator = separator_of(model.reward) if "reward" in settings.conditions else None
        mirroring = Mirroring(settings.side_words) if settings.flip else None
        reading = Reading(model.texts, separator, mirroring)
        return text_facts(rows_of(runs, settings.split), reading)

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
        job = _TrainingTask.of(self._settings, context)
        rows = _checked_data(job.runs, self._settings)
        masks = _checked_masks(job.runs, self._settings)
        job = replace(job, dropped={name: each.numbers for name, each in masks.items()})
        model = job.model()
        try_micro_batch(model, self._settings)
        data = job.data(model)
        known = self._text_facts(job.runs, model) | dict(
            zip(("lost_edits", "lost_edits_of"), data.lost, strict=True)
        )
        known |= _mask_facts(masks, self._settings)
        _print_notices(known)
        others(_train_in_process, job)
        trained = job.train(model, data)
        facts = {
            **data.facts,
            "steps": self._settings.steps,
            "parameters": model.parameter_count,
            "family": model.family.name,
            "precision": job.precision,
            **trained_facts(trained),
            **known,
        }
        made = {**facts, "training": dict(self.parameters), "data": job.key, "seed": job.seed}
        if "reward" in self._settings.conditions:
            dropped = self._settings.drop.reward > 0
            made["edits_unrewarded"] = dropped or has_unrewarded(rows)
        with explained("save a model", context.output):
            save_diffusion_model(model, context.output, made)
            save_kept(
                model.denoiser,
                trained,
                context.work,
                context.output,
                lambda folder, own: save_diffusion_model(
                    model, folder, {**made, **own}, beside=context.output
                ),
            )
            _save_extras(context, diffusion_card(context.name, model, made))
        pace = round(trained.steps / trained.seconds, 3) if trained.steps else None
        times = {"training_seconds": trained.seconds, "steps_per_second": pace}
        return PartResult(facts, {**times, "cache_seconds": data.seconds})


@dataclass(frozen=True, slots=True)
class _TrainingTask:
    """The description of a training that is sent to each process; picklable."""

    settings: DiffusionTrainingSettings
    name: str
    seed: int
    runs: tuple[Path, ...]
    key: str
    work: Path
    workers: int
    dropped: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: DiffusionTrainingSettings, context: PartContext) -> _TrainingTask:
        runs = settings.runs or (context.run,)
        return cls(
            settings=settings,
            name=context.name,
            seed=derive_seed(context.seed, "train"),
            runs=runs,
            key=joint_content(runs),
            work=context.work,
            workers=context.workers,
        )

    @property
    def precision(self) -> Literal["bf16", "fp32"]:
        return resolved_precision(self.settings.precision)

    def model(self) -> DiffusionModel:
        """Load the base, extended for the conditions."""
        settings = self.settings
        model = load_base(settings.base, settings.wanted(self.precision, self.seed))
        if settings.gradient_checkpointing:
            model.network.enable_gradient_checkpointing()
        return model

    def data(self, model: DiffusionModel) -> EditData:
        """Open the samples in the form that the model takes."""
        return open_data(
            model,
            self.settings,
            runs=self.runs,
            key=self.key,
            workers=self.workers,
            dropped=self.dropped,
        )

    def train(self, model: DiffusionModel, data: EditData) -> Trained:
        """Train this process's share of the batches."""
        settings = self.settings
        look = None
        looks = is_leader() or spreads_weights()  # with FSDP every process must join in
        if data.heldout is not None and settings.samples and looks:
            folder = self.work / _LOOKS if is_leader() else None
            look = Looks(model, data.heldout, settings.samples, folder, self.seed)
        task = EditTask(
            model=model,
            samples=data.train,
            heldout=data.heldout,
            objective=settings.objective(model),
            bf16=self.precision == "bf16",
            seed=self.seed,
            look=look,
        )
        with advised(settings):
            plan = settings.plan(self.name, self.seed)
            return train(model.denoiser, task, plan, self.work, prompts=data.prompts)


def _train_in_process(job: _TrainingTask) -> None:
    model = job.model()
    job.train(model, job.data(model))


def _print_notices(facts: Mapping[str, Json]) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in notices(facts):
        console.print(escape(line))


def _save_extras(context: PartContext, card: str) -> None:
    """Save the model's README, its metrics and the previews made during training."""
    shutil.copyfile(context.work / METRICS, context.output / METRICS)
    if (context.work / _LOOKS).is_dir():
        (context.output / _LOOKS).mkdir()
        for sheet in (context.work / _LOOKS).glob("*.png"):
            shutil.copyfile(sheet, context.output / _LOOKS / sheet.name)
    (context.output / "README.md").write_text(card, encoding="utf-8")


def _checked_data(runs: Sequence[Path], settings: DiffusionTrainingSettings) -> PublishedRows:
    joint_content(runs)
    rewarded = "reward" in settings.conditions
    wholly = rewarded and settings.reward.variant == "released"
    return check_data(
        runs,
        settings.split,
        rewarded=rewarded,
        wholly_rewarded=wholly,
        reading=settings.mask_reading,
    )


def _checked_masks(
    runs: Sequence[Path], settings: DiffusionTrainingSettings
) -> dict[str, MaskFacts]:
    """Return the facts of the masks by split; empty if the model does not take them."""
    if "mask" not in settings.conditions or not runs:
        return {}
    return check_masks(splits_of(runs, settings.split), settings.split, settings)


def _mask_facts(
    masks: Mapping[str, MaskFacts], settings: DiffusionTrainingSettings
) -> dict[str, Json]:
    return masks[settings.split].to_json() if masks else {}
