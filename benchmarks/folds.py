"""Cross-validation's data folders: every photo in the validation set of one fold, copies of a photo in the same one."""

import shutil
from pathlib import Path

from photo_tools.duplicates import near_groups
from photo_tools.photo_folders import TRAIN, VALIDATION, inspect_photos, photo_files
from tutorial.cli import TutorialError

import numpy as np


def split_folds(names: list[str], groups: list[list[int]], count: int, seed: int) -> list[list[int]]:
    """Split photos into folds with each class's share as even as the groups allow, no group in two folds.

    Args:
        names: the class of each photo.
        groups: copies of one photo; each photo is in exactly one group.
        count: of folds.
        seed: of the shuffle, 0 or more.

    Returns:
        For each fold positions in ``names``, in order; each position is in exactly one fold.

    Raises:
        TutorialError: a class has too few photos.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    # The groups are shuffled here, by their numbers: scikit-learn 1.7's own shuffle moves their sizes but not the
    # groups (its issue 32478), and the folds come out uneven.
    group_of = np.empty(len(names), int)
    for number, group in zip(np.random.default_rng(seed).permutation(len(groups)), groups, strict=True):
        group_of[group] = number
    least = min(len({group_of[i] for i, one in enumerate(names) if one == name}) for name in names)
    folds = []
    if least >= count:
        folds = [fold.tolist() for _, fold in StratifiedGroupKFold(count).split(names, names, group_of)]
    if not folds or any({names[i] for i in fold} != set(names) for fold in folds):
        raise TutorialError(
            f"{count} folds cannot each have photos of every class, since the smallest has {least} besides copies: "
            "give smaller --folds, or add photos."
        )
    return folds


def link_folds(data: Path, folder: Path, count: int, seed: int) -> list[Path]:
    """Make a data folder of links for each fold, which is its validation set, the others being its training set.

    Returns:
        ``folder``/fold1/data and so on.

    Raises:
        TutorialError: too few photos (see :func:`split_folds`), or a fold was trained on others or with another seed.
    """
    inspected = inspect_photos(data, [file for stage in (TRAIN, VALIDATION) for file in photo_files(data, stage)])
    photos = [photo for photo in inspected if not photo.error]
    groups = near_groups([photo.fingerprint for photo in photos])
    folders = []
    for number, fold in enumerate(split_folds([photo.class_name for photo in photos], groups, count, seed), 1):
        folders.append(fold_data := folder / f"fold{number}" / "data")
        links = {}
        for i, photo in enumerate(photos):
            stage, name, *below = photo.file.split("/")  # the stage goes below the class: it keeps equal names apart
            link = fold_data.joinpath(VALIDATION if i in fold else TRAIN, name, stage, *below)
            links[link] = (data / photo.file).resolve()
        if links == {link: link.readlink() for link in fold_data.rglob("*") if link.is_symlink()}:
            continue
        if any(fold_data.parent.glob("*/*.weights.h5")):
            raise TutorialError(
                f"{folder} has folds of other photos than {data} has now, or of another seed than {seed}: remove that "
                "folder, or name another with --runs."
            )
        shutil.rmtree(fold_data, ignore_errors=True)
        for link, photo in links.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(photo)
    return folders
