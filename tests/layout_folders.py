"""Small data sets in the layouts that published ones come in, made of real photographs."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as Pillow

from editloop.images.codec import encode_jpeg, encode_png, resize
from editloop.schema import Pixels
from editloop.sources.scenes import photo

HEIGHT, WIDTH = 36, 48


def picture(
    scene: str = "chelsea", shade: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)
) -> Pixels:
    """A small photograph; another shade is another picture."""
    small = resize(photo(scene)[:300, :400], *size)
    return np.clip(small.astype(int) - 8 * shade, 0, 255).astype(np.uint8)


def png(scene: str = "chelsea", shade: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> bytes:
    return encode_png(picture(scene, shade, size))


def jpeg(scene: str = "chelsea", size: tuple[int, int] = (HEIGHT, WIDTH)) -> bytes:
    return encode_jpeg(picture(scene, 0, size), 90)


def see_through(size: tuple[int, int] = (HEIGHT, WIDTH)) -> bytes:
    """A mask in MagicBrush's form: the picture, with transparency where editing is allowed."""
    rgba = np.dstack([picture(size=size), np.full(size, 255, np.uint8)])
    rgba[4:20, 6:30, 3] = 0
    file = io.BytesIO()
    Pillow.fromarray(rgba).save(file, "PNG")
    return file.getvalue()


def put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def magicbrush(root: Path, turns: Mapping[str, int]) -> Path:
    """An unpacked split of MagicBrush: sessions by id, in this order, with so many turns each."""
    index: dict[str, list[dict[str, str]]] = {}
    local: dict[str, dict[str, str]] = {}
    whole: dict[str, dict[str, str]] = {}
    for session, count in turns.items():
        before = f"{session}-input.png"
        put(root / "images" / session / before, png())
        index[session], local[session], whole[session] = [], {}, {before: f"a cat {session}"}
        for turn in range(1, count + 1):
            names = {kind: f"{session}-{kind}{turn}.png" for kind in ("output", "mask")}
            put(root / "images" / session / names["output"], png(shade=turn))
            put(root / "images" / session / names["mask"], see_through())
            text = f"make it darker by {turn}"
            index[session].append({"input": before, "instruction": text, **names})
            before = names["output"]
            local[session][before] = f"dark fur {session} {turn}"
            whole[session][before] = f"a dark cat {session} {turn}"
    put(root / "edit_sessions.json", json.dumps(index))
    put(root / "local_descriptions.json", json.dumps(local))
    put(root / "global_descriptions.json", json.dumps(whole))
    return root


def metadata(root: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """A folder with `metadata.jsonl` of these rows."""
    put(root / "metadata.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    return root


def parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A Parquet file of these rows; bytes become Hugging Face's image columns."""
    held = [
        {
            key: {"bytes": v, "path": f"{key}.png"} if isinstance(v, bytes) else v
            for key, v in row.items()
        }
        for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(held), path)
