"""Run diffusers' training script in this process, as its users do, and report the work done.

python train_peer.py FACTS PEER STEPS [arguments of the script]
"""

from __future__ import annotations

import importlib
import runpy
import sys
from contextlib import suppress
from importlib.util import find_spec

from train_counting import Enough, Steps
from train_standins import install_transforms


def main() -> None:
    """Run the script PEER for some steps, and write FACTS."""
    facts, peer, count = sys.argv[1:4]
    for name in ("datasets", "diffusers.pipelines.stable_diffusion", "transformers"):
        importlib.import_module(name)  # they look for torchvision, and must not find the stand-in
    standins = [] if find_spec("torchvision") else ["torchvision"]
    if standins:
        install_transforms()
    steps = Steps(int(count))
    steps.watch()
    sys.argv = [peer, *sys.argv[4:]]
    with suppress(Enough):
        runpy.run_path(peer, run_name="__main__")
    steps.tell(facts, standins=standins)


if __name__ == "__main__":
    main()
