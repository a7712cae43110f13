"""Edits of a picture as files that say how they were made: what the command `edit` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from editloop import editing, images
from editloop.registry import parse_spec
from editloop.schema import Json

__all__ = ["edit_to_files"]


def edit_to_files(
    image: Path,
    instructions: Sequence[str],
    output: Path | None = None,
    *,
    seeds: Sequence[int] = (0,),
    editor: str = "darkroom",
    mask: Path | None = None,
    settings: Mapping[str, Json],
) -> Iterator[Path]:
    """Edit by each seed and write every turn's result; yields the files as they are written.

    `output` is the last turn's file, or a folder for it; left out, it lies beside the picture.
    Earlier turns and several seeds are told by its name's end, and the seeds are shown on a sheet.
    """
    last = _place(image, output)
    editing.check_format(last)
    made = editing.editor_of(editor, settings)
    source = editing.read_pixels(image)
    sessions = editing.edit_seeds(source, instructions, seeds, editor=made, mask=mask)
    own = {**parse_spec(editor, "editor").settings, **settings}
    facts = {
        "editor": made.name,
        "fingerprint": made.fingerprint,
        "source": images.content_hash(image.read_bytes()),
        "mask": None if mask is None else images.content_hash(mask.read_bytes()),
        "settings": {name: value for name, value in own.items() if name != "target"},
    }
    for seed, session in zip(seeds, sessions, strict=True):
        path = last if len(seeds) == 1 else last.with_stem(f"{last.stem}-seed-{seed}")
        for turn, pixels in enumerate(session, start=1):
            own_path = path if turn == len(session) else path.with_stem(f"{path.stem}-{turn}")
            told = {"instructions": list(instructions[:turn]), "seed": seed}
            editing.save_pixels(own_path, pixels, {**facts, **told})
            yield own_path
    if len(seeds) > 1:
        path = last.with_stem(f"{last.stem}-sheet")
        shown = editing.contact_sheet([source, *(session[-1] for session in sessions)])
        told = {"instructions": list(instructions), "seeds": list(seeds)}
        editing.save_pixels(path, shown, {**facts, **told})
        yield path


def _place(image: Path, output: Path | None) -> Path:
    name = f"{image.stem}-edited.png"
    if output is None:
        return image.with_name(name)
    return output / name if output.is_dir() or not output.suffix else output
