"""What a process does that spreads a network and ends; a test starts two by a launcher.

It notes the names of its threads: when it has computed, and when it has all but ended.
"""

import atexit
import json
import os
import sys
from pathlib import Path

import torch
from torch import nn

from editloop.runtime import ranks
from editloop.training.sharding import shard, unshard


def note(folder: Path, when: str) -> None:
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    (folder / f"{when}-{os.environ['RANK']}.json").write_text(json.dumps(names))


def main(folder: Path, how: str) -> None:
    atexit.register(note, folder, "ended")  # the first to be registered is the last to be called
    ranks.is_leader()
    network = nn.Linear(4, 4)
    shard(network)
    network(torch.ones(1, 4)).sum().backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    unshard(network)
    note(folder, "computed")
    if how == "failed":
        raise ValueError("a failure that is meant")
    ranks.together(lambda: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
