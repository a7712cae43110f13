"""Run as a script, kills builds, and prints what it saw.

Its arguments are `sweep FOLDER KIND PART` or `build FOLDER [ENGINE]`.

A sweep forks a build for each change of the file system and kills it (as `kill -9` does) right
before that change; then it looks for anything falsely complete, resumes, and compares with a run
that nobody interrupted. It is a process of its own because forking wants one without threads.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
from pathlib import Path

from editloop.kernel.build import Options, build, clean, retry
from editloop.kernel.progress import Progress
from editloop.kernel.tasks import StepSpec
from editloop.storage.files import Files
from editloop.storage.locks import lock
from editloop.storage.manifests import find_manifest
from editloop.storage.verify import verify
from kernel_faults import CHANGES, FaultyFiles, UnsyncedFiles, die, published
from kernel_parts import source, step


def small(out: Path, files: Files, label: str = "", new_version: bool = False) -> None:
    """A build of four commits: two splits, two segments, drops, failures, 1-to-2 samples."""
    with lock(out):
        build(
            [source(count={"train": 5, "heldout": 2}, broken=["train/0003"])],
            [
                step(label=label, fails=0),
                step("TroubleStep", on={"0": "flaky"}, folder=str(out.parent)),
                step("NetworkStep", label="n"),
            ],
            out=out,
            shard_size=5,
            new_version=new_version,
            options=Options(workers=0, files=files),
        )


def first(out: Path, files: Files) -> None:
    """A build of one commit, with drops and failures."""
    sources = [source(count={"train": 5}, broken=["train/0003"])]
    with lock(out):
        build(sources, [step()], out=out, options=Options(workers=0, files=files))


def changed(out: Path, files: Files) -> None:
    small(out, files, label="b", new_version=True)


def gathered(out: Path, files: Files) -> None:
    """A build of three shards, whose groups are spread over them; one sample fails at first."""
    ids = [f"{group}-{number}" for number in range(3) for group in "ab"]
    flaky = step("TroubleStep", on={"b-0": "flaky"}, folder=str(out.parent))
    ranks = step("RankStep", log=os.devnull)
    parts = [flaky, StepSpec("build", "gather", "gather"), ranks]
    with lock(out):
        options = Options(workers=0, files=files)
        build([source(ids=ids)], parts, out=out, shard_size=2, options=options)


def retried(out: Path, files: Files) -> None:
    (out.parent / "up").touch()
    retry(out, "transient", Options(workers=0, files=files))


def cleaned(out: Path, files: Files) -> None:
    """Clean a complete build, and run it again, which has nothing to do."""
    with lock(out):
        clean(out, Options(workers=0, files=files))
    small(out, files)


def small_cleaned(out: Path, files: Files) -> None:
    small(out, files)
    cleaned(out, files)


KINDS = {
    "first": first,
    "changed": changed,
    "retried": retried,
    "gathered": gathered,
    "regrouped": retried,
    "cleaned": cleaned,
    "rebuilt": retried,
}
BASES = {  # what was built before
    "changed": small,
    "retried": small,
    "regrouped": gathered,
    "cleaned": small,
    "rebuilt": small_cleaned,
}


def sweep(folder: Path, kind: str, part: int, parts: int) -> list[str]:
    """Kill at every change number `part`, `part` + `parts`, ...; returns the problems found."""
    base, whole = folder / "base", folder / "whole"
    base.mkdir()
    if kind in BASES:
        BASES[kind](base, UnsyncedFiles())
    shutil.copytree(base, whole)
    KINDS[kind](whole, UnsyncedFiles())
    expected, orphans = published(whole), working_files(whole)
    wrong: list[str] = []
    at = part
    while True:
        out = folder / str(at)
        shutil.copytree(base, out)
        if not killed(out, kind, at):
            return wrong if at > 15 else [*wrong, f"only {at} changes"]
        wrong += [f"{at}: after the kill: {problem}" for problem in falsely_complete(out)]
        KINDS[kind](out, UnsyncedFiles())
        if published(out) != expected or verify(out):
            wrong.append(f"{at}: the result differs")
        if working_files(out) != orphans:
            wrong.append(f"{at}: orphans: {working_files(out).items() ^ orphans.items()}")
        shutil.rmtree(out)
        at += parts


def killed(out: Path, kind: str, at: int) -> bool:
    """Run in a fork that dies at a change; returns False if it finished."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            KINDS[kind](out, FaultyFiles(at, die, kinds=CHANGES))
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"the build failed at {at}")
    return os.WIFSIGNALED(status)


def falsely_complete(out: Path) -> list[str]:
    """Return everything that is marked complete but is not."""
    problems = [str(problem) for problem in verify(out)]
    manifest = find_manifest(out, "data")
    if manifest is not None and not manifest.in_place(out):
        problems.append("the data's manifest stands without its files")
    return problems


def working_files(out: Path) -> dict[str, int]:
    """Return the number of files in each folder of the kernel."""
    folders = [path for path in (out / ".editloop").rglob("*") if path.is_dir()]
    return {
        path.relative_to(out).as_posix(): sum(child.is_file() for child in path.iterdir())
        for path in folders
    }


def slow_build(out: Path, engine: str = "processes") -> None:
    """A build by two workers that prints their process ids after each commit."""

    def tell(progress: Progress) -> None:
        workers = [child.pid for child in multiprocessing.active_children()]
        print(json.dumps({"done": progress.done, "workers": workers}), flush=True)

    many(out, Options(workers=2, engine=engine, progress=tell))


def many(out: Path, options: Options) -> None:
    """A build of twelve shards, with the folder locked as a run locks it."""
    with lock(out):
        build(
            [source(count={"train": 40, "heldout": 6})],
            [step(), step("NetworkStep", label="n")],
            out=out,
            shard_size=4,
            options=options,
        )


if __name__ == "__main__":
    if sys.argv[1] == "build":
        slow_build(Path(sys.argv[2]), *sys.argv[3:])
    else:
        print(json.dumps(sweep(Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))))
