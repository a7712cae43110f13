"""Benchmarks as they are run: a script in a process of its own, small."""

import json
import subprocess
import sys
from pathlib import Path

__all__ = ["run_benchmark"]

_SCRIPTS = Path(__file__).parents[1] / "benchmarks"


def run_benchmark(script: str, place: Path, small: str, /, **given: Path) -> tuple[dict, str]:
    """What a script found, written in `place`, and printed; `given` are paths by option."""
    found = place / "found.json"
    command = [sys.executable, _SCRIPTS / f"{script}.py", *small.split(), "--json", found]
    for option, path in given.items():
        command += [f"--{option}", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(found.read_bytes()), done.stdout
