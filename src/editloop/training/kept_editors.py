"""The kept checkpoints of a finished training as editors, beside the trained model.

checkpoints/step-00000500/    a folder like that of the trained model, with links to equal files
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from editloop.schema import Json
from editloop.storage.files import link_folder
from editloop.training.checkpoints import load_weights
from editloop.training.loop import CHECKPOINTS
from editloop.training.trained import Trained, checkpoint_name

__all__ = ["save_kept"]


def save_kept(
    network: nn.Module,
    trained: Trained,
    work: Path,
    model: Path,
    save: Callable[[Path, Mapping[str, Json]], None],
) -> None:
    """Save the kept checkpoints into a trained model's folder, if there are several.

    The last one is the trained model: its files are linked. For each other one, its weights are
    loaded into `network`, and `save` writes them into a folder with some facts.
    """
    if len(trained.checkpoints) < 2:
        return
    *earlier, last = trained.checkpoints
    link_folder(model, model / checkpoint_name(last.step))
    for each in earlier:
        _load(network, load_weights(work / CHECKPOINTS, each.step))
        losses = {"final_loss": each.loss, "validation_loss": each.validation_loss}
        save(model / checkpoint_name(each.step), {"steps": each.step, **losses})


def _load(network: nn.Module, state: Mapping[str, Any]) -> None:
    """Load the average of a checkpoint, or without one its weights, as the editor's weights."""
    if "average" not in state:
        network.load_state_dict(state["network"], strict=False)
        return
    own = [each for each in network.parameters() if each.requires_grad]
    with torch.no_grad():
        for parameter, average in zip(own, state["average"]["shadow_params"], strict=True):
            parameter.copy_(average)
