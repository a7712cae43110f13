"""Tiny bases of the real classes and runs to train them on."""

from dataclasses import replace
from pathlib import Path

from editloop.loop.parts import PartContext
from editloop.storage.manifests import record_manifest
from editloop.training.diffusion import DiffusionTraining
from editloop.training.diffusion_settings import DiffusionTrainingSettings
from networks import SIZE, edit_samples, publish
from tiny_baselines import save_flux_kontext
from tiny_pipelines import save_instruct_pix2pix, save_instruct_pix2pix_xl, save_sd3

__all__ = ["SIZE", "diffusion", "saved_base", "train_context", "training_run"]

_SAVE = {
    "sd": save_instruct_pix2pix,
    "sdxl": save_instruct_pix2pix_xl,
    "sd3": save_sd3,
    "flux-kontext": save_flux_kontext,
}


def saved_base(family: str, folder: Path) -> str:
    """A tiny base of a family, by its folder's name."""
    return str(_SAVE[family](folder))


def training_run(run: Path, *, scored: bool = True) -> Path:
    """A run folder with a published data set: six edits to learn from, three held out."""
    for split, count in (("train", 6), ("heldout", 3)):
        samples = edit_samples(count, split)
        publish(run, split, samples if scored else [replace(each, scores={}) for each in samples])
    record_manifest(run, "data", sorted((run / "data").iterdir()))
    return run


def train_context(run: Path, name: str) -> PartContext:
    """What the loop would give a training in a run."""
    folders = {each: run / name / each for each in ("work", "cache", "output")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return PartContext(name=name, seed=0, run=run, inputs="data-1", **folders)


def diffusion(base: str, **changes) -> DiffusionTraining:
    usual = {
        "size": SIZE,
        "steps": 2,
        "batch": 2,
        "precision": "fp32",
        "samples": 0,
        "checkpoint_every": 50,
    }
    return DiffusionTraining(DiffusionTrainingSettings(base=base, **{**usual, **changes}))
