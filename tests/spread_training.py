"""What each of two processes does that spread a network (FSDP); a test starts this by a launcher.

It trains into folders of the one named: `whole`; `parts`, stopped and resumed; `lora`.
"""

import json
import sys
from pathlib import Path

from torch.distributed.tensor import DTensor

from editloop.runtime.ranks import is_leader
from editloop.training.edits import EditTask
from editloop.training.train import train

__all__ = ["LORA", "SETTINGS"]

SETTINGS = {
    "conditions": ["source", "mask", "reward"],
    "steps": 6,
    "batch": 4,
    "size": 32,
    "precision": "fp32",
    "checkpoint_every": 3,
    "learning_rate": 0.001,
    "samples": 1,
}
LORA = {"lora": {"rank": 2}, "precision": "bf16", "conditions": ["source"], "steps": 1}


def main(folder: Path) -> None:
    settings = {**SETTINGS, "data": str(folder / "run"), "base": str(folder / "base")}
    usual, held = EditTask.loss, []

    def watched(self, network, batch):
        held.append(sum(each.to_local().numel() for each in network.parameters()))
        assert all(isinstance(each, DTensor) for each in network.parameters())
        return usual(self, network, batch)

    def interrupted(self, network, batch):
        if network.training and next(left, None) is None:
            raise KeyboardInterrupt
        return usual(self, network, batch)

    EditTask.loss = watched
    train(out=folder / "whole", **settings)
    left, EditTask.loss = iter(range(4)), interrupted
    try:
        train(out=folder / "parts", **settings)
    except KeyboardInterrupt:
        EditTask.loss = usual
    train(out=folder / "parts", **settings)
    train(out=folder / "lora", **{**settings, **LORA})
    if is_leader():
        (folder / "held.json").write_text(json.dumps(held))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
