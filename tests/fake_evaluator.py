"""Stands for a released evaluator in the benchmark's test: its arguments, imports and results.

It reads the tiny encoders' own sizes, and measures each pair alone.
"""

import argparse
import json
from pathlib import Path

import clip
import numpy as np
import torch
from PIL import Image
from pyiqa.utils.img_util import is_image_file
from torchvision.transforms import transforms

SIDE = 32


def cosine(first, second):
    return torch.cosine_similarity(first.double(), second.double()).item()


def values(path, size=None):
    assert is_image_file(str(path))
    image = Image.open(path).convert("RGB")
    return transforms.ToTensor()(image if size is None else image.resize(size)).double()


def measured(pairs, captions):
    clip_model, clip_view = clip.load("ViT-B/32", "cpu")
    dino_model = torch.hub.load("facebookresearch/dino:main", "dino_vits16")
    dino_view = transforms.Compose(
        [
            transforms.Resize(SIDE * 8 // 7, interpolation=3),
            transforms.CenterCrop(SIDE),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    rows = []
    for made, truth in pairs:
        opened = [Image.open(path).convert("RGB") for path in (made, truth)]
        difference = values(made, opened[1].size) - values(truth)
        images = [clip_model.encode_image(clip_view(image)[None]) for image in opened]
        classes = [dino_model(dino_view(image)[None]) for image in opened]
        said = clip_model.encode_text(clip.tokenize(captions[truth.parent.name][truth.name]))
        l1, l2 = difference.abs().mean().item(), (difference**2).mean().item()
        rows.append((l1, l2, cosine(*images), cosine(*classes), cosine(images[0], said)))
    names = ("l1", "l2", "clip-i", "dino", "clip-t")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def pairs_of(session, truths):
    """Of one session: every turn's picture alone, and the last one of the whole session."""
    turns = range(1, len(list(truths.glob("*-output*.png"))) + 1)
    truth = {turn: truths / f"{session.name}-output{turn}.png" for turn in turns}
    middle = {turn: f"_inde_{turn}" if turn > 1 else "_1" for turn in turns}
    alone = [(session / f"{session.name}{middle[turn]}.png", truth[turn]) for turn in turns]
    last = f"_iter_{turns[-1]}" if len(turns) > 1 else "_1"
    return alone, (session / f"{session.name}{last}.png", truth[turns[-1]])


def main():
    parser = argparse.ArgumentParser()
    for name in ("device", "generated_path", "gt_path", "caption_path", "save_path"):
        parser.add_argument(f"--{name}")
    given = parser.parse_args()
    captions = json.loads(Path(given.caption_path).read_text())
    sessions = sorted(Path(given.generated_path).iterdir())
    found = [pairs_of(session, Path(given.gt_path) / session.name) for session in sessions]
    results = {
        "all_turn": measured([pair for alone, _ in found for pair in alone], captions),
        "final_turn": measured([last for _, last in found], captions),
    }
    Path(given.save_path).mkdir()
    (Path(given.save_path) / "evaluation_metrics.json").write_text(json.dumps(results))


if __name__ == "__main__":
    with torch.no_grad():
        main()
