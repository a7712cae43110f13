"""Small data sets as people have them, for the documents' commands."""

from pathlib import Path

import numpy as np

from editloop.images.codec import encode_png
from layout_folders import HEIGHT, WIDTH, jpeg, parquet, png, put
from published_folders import web_dataset

_PAIR = {"source": png(), "target": png(shade=3), "instruction": "darken it"}


def make_own_data(folder: Path) -> None:
    """Create the folders and files that `docs/data.md` assumes."""
    for root, before, after in (("my-edits", "before", "after"), ("my-shoot", "raw", "final")):
        put(folder / root / before / "cat.png", png())
        put(folder / root / after / "cat.png", png(shade=3))
        put(folder / root / after / "cat.txt", "darken it")
    put(folder / "my-table/a.png", png())
    put(folder / "my-table/b.png", png(shade=3))
    put(folder / "my-table/edits.csv", 'before,after,words\na.png,b.png,"darken it"\n')
    nested = {**_PAIR, "edit": {"prompts": ["darken it", "darken the cat"]}}
    del nested["instruction"]
    parquet(folder / "my-hub-copy/default/train/0000.parquet", [nested])
    web_dataset(folder / "fetched/00000.tar", [{"jpg": jpeg(), "txt": "darken it"}])
    parquet(folder / "fetched/00000.parquet", [{"url": "https://a.b/c.jpg", "key": "000000"}])
    parquet(folder / "my-sizes/a.parquet", [{**_PAIR, "target": png(size=(HEIGHT, WIDTH + 9))}])
    parquet(folder / "my-rewards/a.parquet", [{**_PAIR, "follow": 8, "keep": 2.5}])
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[4:20, 6:30], labels[20:] = 1, 2
    parquet(folder / "my-masks/a.parquet", [{**_PAIR, "mask": encode_png(labels)}])
