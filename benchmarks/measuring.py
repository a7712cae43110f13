"""Measurements of commands, in wall time and memory of all processes, and of the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from editloop.schema import Json

__all__ = ["Measured", "machine", "measured"]

_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_EVERY = 0.05  # seconds between two memory samples


@dataclass(frozen=True, slots=True)
class Measured:
    """A command's start (`time.time()`), its seconds, its peak memory in bytes, and CPU seconds.

    The CPU seconds are those of the processes that ran together, without ones that ended early.
    """

    started: float
    seconds: float
    peak: int
    cpu: float


def measured(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Measured:
    """Run a command to its end, with its output in a file; exit if it fails.

    The peak memory is the resident memory of all its processes together.
    """
    started, peak, cpu = time.time(), 0, 0.0
    with (
        log.open("wb") as words,
        subprocess.Popen(
            command,
            stdout=words,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            process_group=0,
        ) as process,
    ):
        while process.poll() is None:
            resident, spent = _used(process.pid)
            peak, cpu = max(peak, resident), max(cpu, spent)
            time.sleep(_EVERY)
        seconds = time.time() - started
    if process.returncode:
        tail = log.read_text(errors="replace")[-3000:]
        raise SystemExit(f"{tail}\nexit code {process.returncode}: {' '.join(command)}")
    return Measured(started, seconds, peak, cpu)


def machine(threads: int) -> dict[str, Json]:
    """Return the processor's name and features, the GPU if there is one, and software versions."""
    import torch

    told = _processor()
    flags = set(told.get("flags", "").split())
    return {
        "processor": told.get("model name", platform.machine()),
        "features": [name for name in _FEATURES if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "threads": threads,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }


def _processor() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().split("\n\n")[0].splitlines() if path.exists() else []
    return {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


def _used(group: int) -> tuple[int, float]:
    """Return the resident bytes and the CPU seconds so far of a process group."""
    resident, ticks = 0, 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # the process ended meanwhile
            continue
        if int(fields[2]) == group:
            resident += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
            ticks += int(fields[11]) + int(fields[12])
    return resident, ticks / os.sysconf("SC_CLK_TCK")
