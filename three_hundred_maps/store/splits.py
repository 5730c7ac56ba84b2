"""Which region goes into which split: a pure function of the declared regions, for every flavour the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

SCHEMES: Mapping[str, tuple[float, float, float]] = {
    "default": (0.80, 0.10, 0.10),
    "paper": (0.90, 0.00, 0.10),
    "small": (0.60, 0.15, 0.25),
}
"""Shares of the regions in train, validation and test."""

SMALL_TEST_REGIONS = 10
"""The scheme ``small`` takes at least so many test regions: below that a score has no interval."""


def hash_order(*parts: int | str) -> int:
    """A 64-bit number that depends on all ``parts`` and on nothing else: the same on every machine."""
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def quotas(scheme: str, regions: int) -> tuple[int, int]:
    """How many of ``regions`` go to validation and to test.

    Both get at least one where three or more regions are there (test from two on); train keeps at least one.
    """
    _, validation_share, test_share = SCHEMES[scheme]
    test = max(round(test_share * regions), min(1, regions - 1))
    if scheme == "small":
        test = max(test, min(SMALL_TEST_REGIONS, regions // 2))
    validation = round(validation_share * regions)
    if validation_share > 0:
        validation = max(validation, min(1, regions - 1 - test))
    return max(validation, 0), max(test, 0)


def merge_groups(items: Sequence[int], pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Union-find: each item's group, named by the group's smallest item.

    Parameters
    ----------
    items
        Identifiers.
    pairs
        Which two belong together; chains merge.
    """
    parent = {item: item for item in items}

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    return {item: root(item) for item in items}


def assign_splits(
    scheme: str, seed: int, regions: Sequence[int], groups: Mapping[int, int] | None = None
) -> dict[int, str]:
    """The split of every declared region.

    Parameters
    ----------
    scheme
        A name of `SCHEMES`.
    seed
        Of the order in which regions are taken.
    regions
        All declared regions, whether or not anything of them is selected.
    groups
        Region -> group, where regions overlap: a group is never divided.

    Returns
    -------
    Region -> ``train``, ``validation`` or ``test``.
    """
    group_of = {region: (groups or {}).get(region, region) for region in regions}
    members: dict[int, list[int]] = {}
    for region in sorted(group_of):
        members.setdefault(group_of[region], []).append(region)
    validation, test = quotas(scheme, len(group_of))
    wanted = {"test": test, "validation": validation}
    given = dict.fromkeys(wanted, 0)
    result: dict[int, str] = {}
    order = sorted(members, key=lambda group: (hash_order("split", seed, group), group))
    left = len(order)
    for group in order:
        size = len(members[group])
        # A large group goes where it fits best; the last group of all stays in train.
        split = next(
            (name for name in wanted if given[name] + size / 2 <= wanted[name] and left > 1), "train"
        )
        if split != "train":
            given[split] += size
            left -= 1
        for region in members[group]:
            result[region] = split
    return result
