"""The samples of a shard: which part of a file's name is the key, and which the column."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

__all__ = ["Naming", "key_rule", "split_at_first_dot"]

Naming: TypeAlias = Callable[[str], tuple[str, str] | None]


def split_at_first_dot(path: str) -> tuple[str, str] | None:
    """Return the key and the suffix of a file; None if it is hidden or has no suffix."""
    return _split(path, str.partition)


def _split_at_last_dot(path: str) -> tuple[str, str] | None:
    return _split(path, str.rpartition)


def _split(path: str, part: Callable[[str, str], tuple[str, str, str]]) -> tuple[str, str] | None:
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = part(name, ".")
    if not stem or not dot:
        return None
    return (f"{folder}/{stem}".removeprefix("./").removeprefix("/"), suffix.lower())


def key_rule(names: Iterable[str]) -> Naming:
    """Return the rule that splits a shard's names, given its first ones.

    The key ends at the first dot, as WebDataset has it, unless keys contain dots: then no suffix
    recurs or two files are one column, while keys up to the last dot have the same suffixes.
    """
    names = list(names)
    first, last = _suffixes(names, split_at_first_dot), _suffixes(names, _split_at_last_dot)
    times = Counter(suffix for suffixes in first.values() for suffix in suffixes)
    fronts = [
        [each.rpartition(".")[0] for each in suffixes if "." in each] for suffixes in first.values()
    ]
    clashes = any(len(set(each)) < len(each) for each in fronts)
    recur = any(count > 1 for count in times.values())
    whole = set().union(*last.values())
    complete = sum(suffixes == whole for suffixes in last.values())
    dotted = len(last) > 1 and len(whole) > 1 and 2 * complete >= len(last)
    return _split_at_last_dot if dotted and (clashes or not recur) else split_at_first_dot


def _suffixes(names: Iterable[str], split: Naming) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        if (parts := split(name)) is not None:
            found[parts[0]].add(parts[1])
    return found
