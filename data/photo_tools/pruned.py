"""Moving photos out, and back: nothing is deleted or overwritten, and an interrupted run can be repeated or undone.

``DIR/pruned/moved.csv`` has the place that each photo came from. It is written before the first photo of a run moves; a
rename then either has happened or has not, so the file's place tells which.
"""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from photo_tools.photo_folders import COLLECTED, PRUNED, TRAIN, VALIDATION, read_csv, write_csv
from tutorial.cli import TutorialError
from tutorial.files import atomic_write

MANIFEST = "moved.csv"
COLUMNS = ["from", "to"]


def inside(data: Path, file: str, stages: tuple[str, ...], named_in: Path) -> Path:
    """The path of a file that a table names, if it is DIR/stage/class/... and really there.

    Raises:
        TutorialError: it points out of DIR or to another folder of it, by its name or through a link.
    """
    parts = PurePosixPath(file).parts
    path = data / file
    plain = not PureWindowsPath(file).drive and "\\" not in file if os.name == "nt" else True
    inner = len(parts) > 2 and parts[0] in stages and ".." not in parts and plain and "\0" not in file
    if not inner or not path.parent.resolve().is_relative_to(data.resolve()):
        raise TutorialError(
            f"{named_in} names {file!r}, which is not a photo in {' or '.join(str(data / stage) for stage in stages)}: "
            "correct or remove that row."
        )
    return path


def marks(table: Path) -> dict[str, str]:
    """The reader's marks, "x" or "", by file.

    Raises:
        TutorialError: the table is missing or damaged, or has another mark in it.
    """
    found = {}
    for line, row in enumerate(read_csv(table, {"file", "mark"}), 2):
        found[row["file"]] = row["mark"].strip().lower()
        if found[row["file"]] not in ("", "x"):
            raise TutorialError(f"{table} has the mark {row['mark']!r} in row {line}: write x, or leave it empty.")
    return found


def _moves(data: Path) -> list[dict[str, str]]:
    manifest = data / PRUNED / MANIFEST
    if not manifest.exists():
        return []
    rows = read_csv(manifest, set(COLUMNS))
    for row in rows:
        inside(data, row["from"], (COLLECTED, TRAIN, VALIDATION), manifest)
        inside(data, row["to"], (PRUNED,), manifest)
    return rows


def _save(data: Path, rows: list[dict[str, str]]) -> None:
    with atomic_write(data / PRUNED / MANIFEST) as temporary:
        write_csv(temporary, COLUMNS, rows)


def _rename(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            raise TutorialError(f"{target} exists by now and is not overwritten: run the command again.")
        os.rename(source, target)
    except OSError as error:
        raise TutorialError(
            f"{source} could not be moved to {target} ({error.strerror}): free it and run the command again."
        ) from None


def _free(data: Path, file: str, taken: set[str]) -> str:
    """A place below DIR/pruned for a file: pruned/class/name.jpg, or name-2.jpg ... if that is taken."""
    place = PurePosixPath(PRUNED, *PurePosixPath(file).parts[1:])
    choice, number = place, 1
    while str(choice) in taken or os.path.lexists(data / choice):
        number += 1
        choice = place.with_name(f"{place.stem}-{number}{place.suffix}")
    return str(choice)


def move_out(data: Path, files: list[str], named_in: Path) -> int:
    """Move photos to DIR/pruned/<class>/; those that an earlier run has moved already are passed over.

    Args:
        data: DIR.
        files: below DIR, with forward slashes, from the table; checked here.
        named_in: the table, for the errors.

    Returns:
        How many were moved now.

    Raises:
        TutorialError: before anything moves: a file points out of DIR or does not exist; later: one cannot be moved.
    """
    paths = {file: inside(data, file, (COLLECTED, TRAIN, VALIDATION), named_in) for file in files}
    # What is still in its old place was planned by a run that was killed; its plan is made anew below.
    kept = [row for row in _moves(data) if os.path.lexists(data / row["to"])]
    gone = {row["from"] for row in kept}
    wanted = [file for file, path in paths.items() if os.path.isfile(path)]
    for file, path in paths.items():
        if file not in gone and not os.path.isfile(path):
            raise TutorialError(f"{named_in} names {path}, which is not there: run prune.py again without --apply.")
    plan, taken = [], {row["to"] for row in kept}
    for file in wanted:
        plan.append({"from": file, "to": _free(data, file, taken)})
        taken.add(plan[-1]["to"])
    if plan:
        _save(data, kept + plan)
    for row in plan:
        _rename(data / row["from"], data / row["to"])
    return len(plan)


def move_back(data: Path) -> tuple[int, list[str]]:
    """Move everything in DIR/pruned back to where it came from.

    Returns:
        How many were moved now, and those that stay because another file has taken their place.

    Raises:
        TutorialError: the manifest is damaged, or a file cannot be moved.
    """
    moved, stay = 0, []
    rows = _moves(data)
    for row in rows:
        source, target = data / row["to"], data / row["from"]
        if not os.path.lexists(source):
            continue  # never moved, moved back by a run that was killed, or the reader has thrown it away
        if os.path.lexists(target):
            stay.append(row)
        else:
            _rename(source, target)
            moved += 1
    if stay:
        _save(data, stay)
    elif rows:
        (data / PRUNED / MANIFEST).unlink()
    for folder, _, _ in os.walk(data / PRUNED, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)
    return moved, [row["to"] for row in stay]
