"""The entry point: the commands under their names, in the order that `--help` lists them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import typer

from editloop.commands import editing, evaluating, importing, judging, looping, training

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: dict[str, Callable[..., None]] = {
    "run": looping.run,
    "import": importing.import_data,
    "hashes": importing.hash_data,
    "evaluate": evaluating.evaluate,
    "compare": evaluating.compare,
    "measure": evaluating.measure,
    "judge": judging.judge,
    "calibrate": judging.calibrate,
    "fake-server": judging.fake_server,
    "train": training.train,
    "edit": editing.edit,
    "show": looping.show,
    "verify": looping.verify,
    "retry": looping.retry,
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
    """Run a command; a user's mistake prints its cause and fix, never a traceback."""
    from editloop.errors import EditLoopError

    # It warns of the picture processors that it takes where torchvision is absent: the right ones.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        app()
    except EditLoopError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
