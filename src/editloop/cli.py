"""The command line entry point: all commands by name, in the order of `--help`."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import typer

from editloop.commands import (
    describing,
    editing,
    evaluating,
    exporting,
    importing,
    judging,
    linting,
    looping,
    rating,
    training,
)
from editloop.runtime.launcher import led
from editloop.showing.terminal import say

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: dict[str, Callable[..., None]] = {
    "run": looping.run,
    "recipes": looping.recipes,
    "import": importing.import_data,
    "hashes": importing.hash_data,
    "evaluate": evaluating.evaluate,
    "compare": evaluating.compare,
    "measure": evaluating.measure,
    "describe": describing.describe,
    "lint": linting.lint,
    "judge": judging.judge,
    "calibrate": judging.calibrate,
    "fake-server": judging.fake_server,
    "ranking": rating.ranking,
    "train": training.train,
    "edit": editing.edit,
    "show": looping.show,
    "verify": looping.verify,
    "retry": looping.retry,
    "export-preferences": exporting.export_preferences,
    "clean": looping.clean,
    "editors": editing.editors,
    "protocols": evaluating.protocols,
    "operations": editing.operations,
}

app = typer.Typer(
    name="editloop",
    help="Build, judge and import edit data; train, run and evaluate instruction-based editors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)


def main() -> None:
    """Run a command; an EditLoopError is printed with cause and fix, without a traceback.

    Of a launcher's processes, one runs the command. The others compute for it and print nothing.
    """
    from editloop.errors import EditLoopError

    # Without torchvision, transformers warns about its image processors, which are the right ones.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        _run()
    except (EditLoopError, KeyboardInterrupt):  # in a process whose leader is gone
        sys.exit(1)


@led
def _run() -> None:
    from editloop.errors import EditLoopError

    try:
        app()
    except SystemExit as ended:
        if ended.code:
            raise
    except EditLoopError as error:
        say(f"error: {error}", err=True)
        sys.exit(1)
    except Exception:  # a fault of ours, whose message may quote what it was given
        say(traceback.format_exc(), err=True, end="")
        sys.exit(1)
