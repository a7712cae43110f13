"""Small data sets in the layouts that training sets are published in, made of real photographs."""

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from layout_folders import jpeg, parquet, png, put, see_through

UNICODE = "Make it “höher”\u200d 👩‍🚀 e\u0301 שלום"


def instruct_pix2pix_folders(root: Path, names: Sequence[str]) -> Path:
    """Folders of one pair each, the measures beside them, and the list of seeds."""
    for at, name in enumerate(names):
        prompt = {"input": f"a cat {name}", "edit": f"make it dark {name}", "output": "a dark cat"}
        put(root / name / "prompt.json", json.dumps(prompt))
        put(root / name / f"{at}_0.jpg", jpeg())
        put(root / name / f"{at}_1.jpg", jpeg("coffee"))
        measured = {
            "seed": at,
            "p2p_threshold": 0.25,
            "cfg_scale": 8.5,
            "clip_sim_0": 0.21,
            "clip_sim_1": 0.22,
            "clip_sim_dir": 0.23,
            "clip_sim_image": 0.75,
        }
        put(root / name / "metadata.jsonl", f"{json.dumps(measured)}\n")
    put(root / "seeds.json", json.dumps([[name, [str(at)]] for at, name in enumerate(names)]))
    return root


def instruct_pix2pix_rows(root: Path, count: int = 2) -> Path:
    rows = [
        {
            "original_prompt": "a cat",
            "original_image": png(shade=at),
            "edit_prompt": f"darken {at}",
            "edited_prompt": "a dark cat",
            "edited_image": png(shade=at + 1),
        }
        for at in range(count)
    ]
    parquet(root / "data" / "train-00000-of-00001-f83a5c837b1853c5.parquet", rows)
    return root


def magicbrush_rows(root: Path, splits: Mapping[str, Mapping[str, int]]) -> Path:
    """The hub's rows: by split, sessions with so many turns each."""
    for split, sessions in splits.items():
        rows = [
            {
                "img_id": session,
                "turn_index": turn,
                "source_img": png(shade=turn - 1),
                "mask_img": see_through(),
                "instruction": f"darken {session} {turn}",
                "target_img": png(shade=turn),
            }
            for session, turns in sessions.items()
            for turn in range(1, turns + 1)
        ]
        parquet(root / "data" / f"{split}-00000-of-00001.parquet", rows)
    return root


def hq_edit_rows(root: Path, count: int = 2, instruction: str = "darken {at}") -> Path:
    rows = [
        {
            "input": f"a cat {at}",
            "input_image": png(shade=at),
            "edit": instruction.format(at=at),
            "inverse_edit": f"lighten {at}",
            "output": f"a dark cat {at}",
            "output_image": png("coffee", at),
        }
        for at in range(count)
    ]
    parquet(root / "data" / "train-00000-of-00001.parquet", rows)
    put(root / "README.md", "---\nlanguage:\n- en\nlicense: cc-by-nc-4.0\n---\n\n# HQ-Edit\n")
    return root


ULTRA = {
    "clip_sim_source": 0.25,
    "clip_sim_target": 0.26,
    "clip_sim_dir": 0.22,
    "clip_sim_image": 0.75,
    "dinov2_sim": 0.5,
    "ssim": float("nan"),
    "source_caption": "a cat",
    "target_caption": "a dark cat",
    "idx": 7,
    "edit_prompt": "darken the cat",
    "source_image": png(),
    "edited_image": png(shade=3),
}


def ultra_edit_rows(root: Path, split: str = "FreeForm", **more: Any) -> Path:
    parquet(root / "data" / f"{split}-00000-of-00001.parquet", [{**ULTRA, **more}] * 2)
    return root


def web_dataset(path: Path, samples: Sequence[Mapping[str, bytes | str]]) -> None:
    """A shard with a sample for each mapping of suffix to content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for at, files in enumerate(samples):
            for suffix, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                info = tarfile.TarInfo(f"{at:06d}.{suffix}")
                info.size = len(data)
                shard.addfile(info, io.BytesIO(data))
