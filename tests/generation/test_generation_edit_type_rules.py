"""Rules for edit types: right on the package's seeds where they speak, silent where unsure."""

from __future__ import annotations

import pytest

from editloop.generation.edit_type_rules import type_by_rules
from editloop.generation.triplets import Triplet, read_triplets
from editloop.schema import EditType
from editloop.sources.taxonomies import ULTRA_EDIT
from editloop.sources.text_lists import TripletsSettings, TripletsSource


@pytest.mark.parametrize(
    ("instruction", "kind", "ultra_edit"),
    [
        ("Add a red scarf", "add", "add"),
        ("please remove the man on the left.", "remove", "others"),
        ("Replace the apple with a pear", "local", "replace"),
        ("change the background to a beach", "background", "change_global"),
        ("paint the door dark blue", "texture", "change_color"),
        ("make it night", "global", "change_global"),
        ("Turn the photo into an oil painting", "style", "transform_global"),
    ],
)
def test_plain_instructions(instruction: str, kind: str, ultra_edit: str) -> None:
    assert type_by_rules(instruction) == (EditType(kind), ultra_edit)


@pytest.mark.parametrize(
    "instruction",
    [
        "remove the background",
        "add a warm filter",
        "remove the lamp and add a cat",
        "make it pretty",
        "replace the background with a beach, at night",
        "paint the background blue",
        "add text that says HELLO",
        "",
    ],
)
def test_unsure_instructions_are_left_to_the_model(instruction: str) -> None:
    assert type_by_rules(instruction) is None


def test_no_rule_contradicts_a_seed() -> None:
    typed = [(kind, type_by_rules(each.edit)) for kind, each in seeds()]
    assert all(found is None or found[0] is kind for kind, found in typed)
    assert sum(found is not None for _, found in typed) >= 12
    assert all(found is None or found[1] in ULTRA_EDIT for _, found in typed)


def test_the_seeds_are_at_least_60_over_all_types_and_all_different() -> None:
    kinds = [kind for kind, _ in seeds()]
    assert len(kinds) >= 60
    assert min(map(kinds.count, EditType)) >= 8
    edits = [each.edit for _, each in seeds()]
    assert len({*edits}) == len(edits)
    assert all(each.inverse and each.input != each.output for _, each in seeds())


def seeds() -> list[tuple[EditType, Triplet]]:
    """Return the package's seeds; their ids name their types."""
    items = TripletsSource(TripletsSettings()).items()
    kinds = [EditType(item.id.split("/")[1]) for item in items]
    return list(zip(kinds, read_triplets(None), strict=True))
