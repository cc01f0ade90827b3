"""Splitting photos into train and validation, copies of a photo on one side."""

from collections import Counter

from tutorial.cli import TutorialError

import numpy as np

TRIES = 1000  # random orders; without large groups of copies the first one suffices


def amount(text: str) -> int | float:
    """An argparse type: a count, "1000", or a fraction of each class, "0.8". Raises ValueError otherwise."""
    number = float(text) if "." in text else int(text)
    if not (0 < number < 1 if isinstance(number, float) else number >= 1):
        raise ValueError(text)
    return number


amount.__name__ = "number of photos (1 or more) or fraction (0.01 to 0.99)"  # argparse: "invalid <this> value"


def wanted(count: int, train: int | float, validation: int | float) -> tuple[int, int]:
    """How many of a class's ``count`` photos go to each side: a fraction is rounded, to at least 1."""
    for_validation = max(1, round(validation * count)) if isinstance(validation, float) else validation
    for_train = max(1, round(train * count)) if isinstance(train, float) else train
    if isinstance(train, float) and isinstance(validation, float) and train + validation <= 1 + 1e-9:
        for_validation = max(1, min(for_validation, count - 1))  # both may have been rounded up
        for_train = max(1, min(for_train, count - for_validation))
    return for_train, for_validation


def split_photos(
    names: list[str], groups: list[list[int]], counts: dict[str, tuple[int, int]], seed: int
) -> tuple[list[int], list[int]]:
    """Choose the photos of train and validation, no group on both sides.

    Where a group is larger than a side's remaining need, some of its photos are left out.

    Args:
        names: the class of each photo.
        groups: copies of one photo, which may lie in several classes; each photo is in exactly one group.
        counts: for each class, how many for train and for validation.
        seed: the same seed gives the same choice.

    Returns:
        Positions in ``names``, in random order, for train and for validation.

    Raises:
        TutorialError: a class has too few photos, or its groups cannot be split that way.
    """
    have = Counter(names)
    for name, (train, validation) in counts.items():
        if have[name] < train + validation:
            raise TutorialError(
                f"{name} has {have[name]} usable photos, fewer than {train} for train and {validation} for "
                f"validation: collect {train + validation - have[name]} more, or give smaller numbers or fractions, "
                "such as --train 0.8 --validation 0.2."
            )
    rng = np.random.default_rng(seed)
    for attempt in range(TRIES):
        order = [groups[i] for i in rng.permutation(len(groups))]
        sides: tuple[list[int], list[int]] = ([], [])
        # Validation, the smaller side, draws first: whole groups that fit, and only then a part of one that does not.
        # Where that leaves too little for train, every other attempt takes parts at once.
        for whole in (True, False) if attempt % 2 == 0 else (False,):
            order = _draw(names, order, {name: count for name, (_, count) in counts.items()}, sides[1], whole)
        _draw(names, order, {name: count for name, (count, _) in counts.items()}, sides[0], False)
        if all(
            Counter(names[i] for i in side) == {name: both[s] for name, both in counts.items()}
            for s, side in enumerate(sides)
        ):
            return sides
    largest = max(groups, key=len)
    raise TutorialError(
        f"the copies of a photo cannot be kept in one split with these numbers (one photo of {names[largest[0]]} "
        f"occurs {len(largest)} times): move copies out with data/prune.py, or give smaller numbers."
    )


def _draw(
    names: list[str], order: list[list[int]], need: dict[str, int], side: list[int], whole: bool
) -> list[list[int]]:
    """Give groups to one side until each class has what it needs; returns the groups that were not used."""
    left = []
    have = Counter(names[i] for i in side)
    for group in order:
        adds = Counter(names[i] for i in group)
        fits = all(have[name] + count <= need[name] for name, count in adds.items())
        helps = any(have[name] < need[name] for name in adds)
        if not (fits if whole else helps):
            left.append(group)
            continue
        for i in group:
            if have[names[i]] < need[names[i]]:
                side.append(i)
                have[names[i]] += 1
    return left
