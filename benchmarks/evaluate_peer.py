"""Run a released evaluator in this process, as its users do, and report the work done.

python evaluate_peer.py FACTS PEER CLIP DINO [arguments of its image_eval.py]
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys
import time
from functools import partial
from pathlib import Path

from evaluate_counting import count_pictures, tell
from evaluate_standins import Standins


def main() -> None:
    """Run PEER/image_eval.py with the stand-ins that it needs, and write FACTS."""
    facts, peer, clip, dino = sys.argv[1:5]
    standins = Standins(clip, dino)
    names = standins.install(Path(peer))
    script = str(Path(peer) / "image_eval.py")
    sys.path.insert(0, peer)
    sys.argv = [script, *sys.argv[5:]]
    counts = count_pictures()
    for name in ("scipy.spatial", "tqdm"):  # its other imports, so that they count as loading
        importlib.import_module(name)
    json.dump = partial(json.dump, default=float)  # newer SciPy returns float32, which json rejects
    ready = time.time()
    runpy.run_path(script, run_name="__main__")
    tell(
        facts,
        ready=ready,
        reading=standins.load_seconds,
        page=0.0,
        standins=names,
        counts={**counts, **standins.counts},
    )


if __name__ == "__main__":
    main()
