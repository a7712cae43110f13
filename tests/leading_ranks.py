"""What each of two processes does that are led through calls; a test starts this by a launcher.

It writes what each call returned or raised to `RANK.json`.
"""

import json
import os
import sys
import time
from pathlib import Path

from editloop.errors import StoreError
from editloop.runtime import ranks
from editloop.runtime.launcher import led

RANK = os.environ.get("RANK", "")


@led
def who() -> int:
    return int(RANK)


@led
def nobody() -> None:
    raise StoreError("nobody", value=1)


@led
def both(folder: Path) -> list[int]:
    """Return the ranks that were here; a led call inside is plain."""
    ranks.others(mark, folder)
    mark(folder)
    while len(found := sorted(folder.glob("*"))) < 2:
        time.sleep(0.02)
    return [int(path.name) for path in found]


@led
def failing_everywhere() -> None:
    ranks.others(fail)
    ranks.others(mark, Path("never"))  # the others fail before they come to this
    fail()


def mark(folder: Path) -> None:
    assert who() == int(RANK)
    (folder / RANK).touch()


def fail() -> None:
    raise ValueError("here and there")


def main(out: Path) -> None:
    found = [who()]
    try:
        nobody()
    except StoreError as error:
        found.append(str(error))
    for name, call in (("one", both), ("", failing_everywhere), ("two", both)):
        folder = out / name
        try:
            folder.mkdir(exist_ok=True)
            found.append(call(folder) if name else call())
        except ValueError as error:
            found.append(str(error))
    (out / f"{RANK}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
