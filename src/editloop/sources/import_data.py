"""Import a published data set as a run's data: the function behind `editloop import`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from editloop.errors import RecipeError
from editloop.hub import datasets
from editloop.images.masks import MaskSettings
from editloop.kernel.progress import Progress
from editloop.loop import run as loop
from editloop.loop.recipe import Recipe
from editloop.registry import create, parse_spec
from editloop.runtime.launcher import led
from editloop.schema import Json
from editloop.settings import validate
from editloop.sources.fitting import Fit
from editloop.sources.mask_shares import mask_shares
from editloop.sources.notices import same_captions
from editloop.sources.scales import Scale
from editloop.storage.versions import work_folder

__all__ = ["ImportSettings", "import_data"]

_REWARDED = "reward-edit"  # InstructPix2Pix's folders with the rewards of RewardEdit-20K
_TWO_WAYS = ("hq-edit",)  # sets with inverse instructions
_CHECK = "contamination"
_ODD = re.compile(r"[^\w.+-]+")  # characters not allowed in a recipe's name


class ImportSettings(MaskSettings):
    """The edits to take from a data set, what to add to them, and what to compare them with."""

    split: str | None = Field(default=None, description="one of the set's splits (all)")
    columns: dict[str, str] = Field(
        default_factory=dict, description="column of each field, for the layout `table`"
    )
    rewards: Path | None = Field(default=None, description="RewardEdit's JSON, for `reward-edit`")
    scale: Scale | None = Field(
        default=None,
        description="lowest and highest reward in mapped columns or RewardEdit's JSON (0 to 5)",
    )
    inverse: bool | None = Field(
        default=None, description="add inverse edits (None: if the set is published with them)"
    )
    heldout: float = Field(
        default=0.0, ge=0, le=1, description="share of the rest held out at random"
    )
    sample: int | None = Field(
        default=None, ge=1, description="size of a random sample of edits (default: all)"
    )
    fit: Fit = Field(
        default="refuse",
        description="what to do with a target or mask whose shape differs by more than 3%",
    )
    licence: str | None = Field(
        default=None, description="licence of edits without one (default: from the set's card)"
    )
    against: tuple[str, ...] = Field(
        default=(), description="test sets to compare with: lists of hashes, or LAYOUT:PATH"
    )
    drop_contaminated: bool = False
    download: bool = Field(default=False, description="download the set from the hub")
    seed: int = Field(default=0, ge=0)


@led
def import_data(
    kind: str,
    data: str | Path,
    out: str | Path,
    *,
    workers: int | None = None,
    engine: str = "processes",
    new_version: bool = False,
    progress: Callable[[Progress], None] | None = None,
    **settings: Json,
) -> dict[str, Json]:
    """Import a data set, from a folder or the hub's cache, into `out`; return the run's results.

    With them come the counts of `masks` (`mask_shares`), and the samples of MagicBrush whose local
    caption is the global one, if any.

    `kind` is a layout (`sources.layouts.LAYOUTS`) as KIND[?key=value], or `reward-edit`; `settings`
    are those of `ImportSettings`. After an interruption the same call resumes; after success it
    does nothing.
    """
    own = validate(ImportSettings, settings, where="import")
    folder = datasets.download(str(data)) if own.download else datasets.find(str(data))
    recipe = _recipe(kind, folder, own)
    for part in recipe.build:
        if part.kind == _CHECK:  # test sets are hashed once, not by every worker
            create("build", _CHECK, part.own).prepare(work_folder(Path(out)) / "cache")
    results = loop.run(
        recipe, out, workers=workers, engine=engine, new_version=new_version, progress=progress
    )
    data = Path(out) / "data"
    return {**results, "same_captions": same_captions(data), "masks": mask_shares(data)}


def _recipe(kind: str, folder: Path, own: ImportSettings) -> Recipe:
    spec = parse_spec(kind, "layout")
    rewards = _rewards(spec.kind, folder, own.rewards)
    inverse = spec.kind in _TWO_WAYS if own.inverse is None else own.inverse
    scale = {} if own.scale is None else {"scale": own.scale}
    source = {
        "kind": "layout",
        "path": str(folder.absolute()),
        "layout": "instruct-pix2pix" if spec.kind == _REWARDED else spec.kind,
        "options": {**spec.settings, **_options(spec.kind, own)},
        "split": own.split,
        "only": rewards,
        "sample": own.sample,
        "splits": "two",
        "heldout": own.heldout,
        "faults": "quarantine",
        "normalise": True,
        "fit": own.fit,
        "licence": own.licence or datasets.licence_of(folder),
        "mask_rule": own.mask_rule,
        "invert_mask": own.invert_mask,
    }
    check = {
        "kind": _CHECK,
        "against": [_absolute(each) for each in own.against],
        "drop": own.drop_contaminated,
    }
    content = {
        "name": f"import-{_ODD.sub('-', spec.kind)}",
        "seed": own.seed,
        "sources": [source],
        # Pairs are compared before inverse edits are added, so that both directions match or none.
        "build": [*([check] if own.against else []), *([{"kind": "inverse-edits"}] * inverse)],
        "judge": [{"kind": _REWARDED, "target": rewards, **scale}] if rewards else [],
        "evaluate": [{"kind": _CHECK}] if own.against else [],
    }
    return validate(Recipe, content, where="import")


def _options(kind: str, own: ImportSettings) -> dict[str, Json]:
    """Return the options of a layout that have settings of their own here."""
    options: dict[str, Json] = {"map": own.columns} if own.columns else {}
    if own.scale is not None and kind != _REWARDED:
        if kind != "table":
            raise RecipeError(
                "only table and reward-edit take the scale of rewards",
                value=kind,
                fix="omit `scale`, or import the set as `table` with --map following=COLUMN",
            )
        options["scale"] = own.scale
    return options


def _rewards(kind: str, folder: Path, path: Path | None) -> str | None:
    """Return the file of rewards; raise RecipeError if rewards and triplets cannot be joined."""
    if kind != _REWARDED:
        if path is not None:
            raise RecipeError("only reward-edit takes rewards", value=path, fix="omit `rewards`")
        return None
    if path is None or not path.expanduser().is_file():
        raise RecipeError(
            "reward-edit needs the file of rewards",
            value=path,
            fix="give RewardEdit_20K.json as `rewards`, and InstructPix2Pix's folders as the data",
        )
    if any(folder.glob("*.parquet")) or any(folder.glob("data/*.parquet")):
        raise RecipeError(
            "RewardEdit refers to InstructPix2Pix's folders, which its Parquet files lack",
            value=folder,
            fix="give the folder of the unpacked clip-filtered data set",
        )
    return str(path.expanduser().absolute())


def _absolute(test_set: str) -> str:
    """Return a test set's specification with an absolute path."""
    if Path(test_set).expanduser().is_file():
        return str(Path(test_set).expanduser().absolute())
    front, colon, rest = test_set.partition(":")
    return f"{front}:{Path(rest).expanduser().absolute()}" if colon else test_set
