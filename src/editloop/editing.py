"""Edit one picture by instructions, with any editor: what `editloop edit` calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from editloop import images
from editloop.errors import ImageError, InstructionError
from editloop.registry import parse_spec
from editloop.schema import Editor, EditRequest, Mask, Pixels, Unedited

__all__ = ["edit", "read_mask", "read_pixels", "save_pixels"]


def edit(
    image: Pixels | Path | str,
    instructions: Sequence[str],
    *,
    editor: Editor | str = "darkroom",
    mask: Mask | Path | str | None = None,
    seed: int = 0,
) -> list[Pixels]:
    """The picture after each instruction; several make a session, each on the last one's result.

    `editor` is an editor or its SPEC. Every result has the size of `image`. An instruction that the
    editor does not carry out raises InstructionError with the editor's reason.
    """
    pixels = image if not isinstance(image, Path | str) else read_pixels(Path(image))
    region = mask if not isinstance(mask, Path | str) else read_mask(Path(mask))
    if region is not None and region.shape != pixels.shape[:2]:
        raise ImageError(
            "size-mismatch",
            "mask and picture differ in size",
            value=f"mask {_size(region)}, picture {_size(pixels)}",
            fix="give a mask of the picture's size",
        )
    made: Editor = (
        parse_spec(editor, "editor").create("editor") if isinstance(editor, str) else editor
    )
    return list(_session(made, pixels, instructions, region, seed))


def _session(
    editor: Editor, pixels: Pixels, instructions: Sequence[str], mask: Mask | None, seed: int
) -> Iterator[Pixels]:
    for turn, instruction in enumerate(instructions, start=1):
        request = EditRequest(
            id="edit", turn=turn, image=pixels, instruction=instruction, mask=mask, seed=seed
        )
        answer = editor.edit([request])[0]
        if isinstance(answer, Unedited):
            raise InstructionError(
                f"{editor.name} made no edit at turn {turn}", value=instruction, fix=answer.reason
            )
        pixels = answer
        yield pixels


def _size(pixels: Pixels | Mask) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def read_pixels(path: Path) -> Pixels:
    """A picture file as pixels."""
    return images.decode(_read(path))


def read_mask(path: Path) -> Mask:
    """A mask file; white is where editing is allowed."""
    return images.decode_mask(_read(path))


def save_pixels(path: Path, pixels: Pixels) -> None:
    """Write a picture in the format of its name: .png (lossless) or .jpg (quality 95)."""
    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise ImageError(
            "unknown-format", "cannot write this format", value=path.name, fix="name a .png or .jpg"
        )
    data = images.encode_png(pixels) if suffix == ".png" else images.encode_jpeg(pixels, 95)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            "unreadable", "cannot read a picture", value=path, fix=error.strerror
        ) from error
