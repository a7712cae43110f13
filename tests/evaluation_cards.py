"""Protocol cards for tests: the published ones, and one of a user's own."""

from importlib import resources
from pathlib import Path

import yaml

CARDS = resources.files("editloop.evaluation") / "protocols"


def own_card(folder: Path, **changes: object) -> Path:
    """MagicBrush's card as a user's own, with changes."""
    content = yaml.safe_load((CARDS / "magicbrush.yaml").read_text())
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}))
    return path
