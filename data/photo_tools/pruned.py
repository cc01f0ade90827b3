"""Moving photos out or to another class, and back: nothing is deleted or overwritten, and an interrupted run can be
repeated or undone.

``DIR/pruned/moved.csv`` has the place that each photo came from. It is written before the first photo of a run moves; a
rename then either has happened or has not, so the file's place tells which.
"""

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from photo_tools.collection import COLUMNS as CREDIT
from photo_tools.collection import Table
from photo_tools.photo_folders import ATTRIBUTION, COLLECTED, PRUNED, STAGES, read_csv, write_csv
from tutorial.cli import TutorialError
from tutorial.dataset import class_folders
from tutorial.files import atomic_write

MANIFEST = "moved.csv"
COLUMNS = ["from", "to"]
REMOVE, MOVE = "remove", "move to "  # a reader's marks; the name of a class follows MOVE


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
    """The reader's marks by file: "", REMOVE, or MOVE and a class.

    Raises:
        TutorialError: the table is missing or damaged, or has another mark in it.
    """
    if not table.exists():
        raise TutorialError(f"there is no file {table}: run data/prune.py without --apply first.")
    found = {}
    for line, row in enumerate(read_csv(table, {"file", "mark"}), 2):
        mark = row["mark"].strip()
        if mark.lower() in ("x", REMOVE):
            mark = REMOVE
        elif mark.lower().startswith(MOVE):
            mark = MOVE + mark[len(MOVE) :].strip()
        elif mark:
            raise TutorialError(
                f"{table} has the mark {row['mark']!r} in row {line}: write {REMOVE}, {MOVE}CLASS, or leave it empty."
            )
        found[row["file"]] = mark
    return found


def _moves(data: Path) -> list[dict[str, str]]:
    manifest = data / PRUNED / MANIFEST
    if not manifest.exists():
        return []
    rows = read_csv(manifest, set(COLUMNS))
    for row in rows:
        inside(data, row["from"], STAGES, manifest)
        inside(data, row["to"], (PRUNED, *STAGES), manifest)
    return rows


def _save(data: Path, rows: list[dict[str, str]]) -> None:
    with atomic_write(data / PRUNED / MANIFEST) as temporary:
        write_csv(temporary, COLUMNS, rows)


def _rename(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(target):
            raise TutorialError(f"{target} now exists and is not overwritten: run the command again.")
        os.rename(source, target)
    except OSError as error:
        raise TutorialError(
            f"{source} could not be moved to {target} ({error.strerror}): close it and run the command again."
        ) from None


def _place(data: Path, file: str, mark: str, named_in: Path) -> PurePosixPath:
    """Where a marked file goes: pruned/class/name.jpg, or another class's folder beside its own."""
    stage, own, *rest = PurePosixPath(file).parts
    if mark == REMOVE:
        return PurePosixPath(PRUNED, own, *rest)
    classes = class_folders(data / stage)
    name = mark[len(MOVE) :]
    if name not in classes:
        raise TutorialError(
            f"{named_in} has the mark {mark!r}, and {data / stage} has no class {name}: write one of "
            f"{', '.join(classes)} after {MOVE.strip()!r}."
        )
    place = PurePosixPath(stage, classes[name].name, *rest)
    inside(data, str(place), (stage,), named_in)
    return place


def _free(data: Path, place: PurePosixPath, taken: set[str]) -> str:
    """The place, or with -2, -3 ... in its name if that is taken."""
    choice, number = place, 1
    while str(choice) in taken or os.path.lexists(data / choice):
        number += 1
        choice = place.with_name(f"{place.stem}-{number}{place.suffix}")
    return str(choice)


def _credits(data: Path, old: str, new: str) -> list[Table]:
    """The attribution.csv of a collected photo's old and new class, if it moves between two and the old one has it.

    Raises:
        TutorialError: one has other columns, or cannot be read.
    """
    (stage, old_class, *_), (new_stage, new_class, *_) = PurePosixPath(old).parts, PurePosixPath(new).parts
    tables = [data / COLLECTED / name / ATTRIBUTION for name in (old_class, new_class)]
    there = stage == new_stage == COLLECTED and tables[0].exists()
    return [Table(table, CREDIT) for table in tables] if there else []


def _follow(data: Path, moves: list[tuple[str, str]]) -> None:
    """Let the tables follow photos that have moved: split.csv, and for collected photos the classes' attribution.csv.

    A collected photo's row stays in its old class's table, too, so that it is not collected there again.
    """
    table = data / "split.csv"
    rows = read_csv(table, set()) if table.exists() else []
    changed = False
    for old, new in moves:
        (stage, _, *rest), (new_stage, new_class, *new_rest) = PurePosixPath(old).parts, PurePosixPath(new).parts
        for row in rows:
            if row.get("file") == old and new_stage == stage:
                row["file"], row["class"], changed = new, new_class, True
        if credits := _credits(data, old, new):
            own = [row for row in credits[0].rows if row["file"] == "/".join(rest)]
            if own and all(row["file"] != "/".join(new_rest) for row in credits[1].rows):
                credits[1].add(**own[0] | {"file": "/".join(new_rest)})
    if changed:
        with atomic_write(table) as temporary:
            write_csv(temporary, list(rows[0]), rows)


def move_out(data: Path, marked: dict[str, str], named_in: Path) -> int:
    """Move photos to DIR/pruned/<class>/ or to another class; those that an earlier run has moved are passed over.

    Args:
        data: DIR.
        marked: REMOVE, or MOVE and a class, by file below DIR, with forward slashes, from the table; checked here.
        named_in: the table, for the errors.

    Returns:
        How many were moved now.

    Raises:
        TutorialError: before anything moves: a file points out of DIR or does not exist, or a class does not exist;
            later: one cannot be moved.
    """
    paths = {file: inside(data, file, STAGES, named_in) for file in marked}
    # What is still in its old place was planned by a run that was killed; its plan is made anew below.
    kept: list[dict[str, str]] = []
    for row in reversed(_moves(data)):
        if os.path.lexists(data / row["to"]) or any(row["to"] == later["from"] for later in kept):
            kept.insert(0, row)
    gone = {row["from"] for row in kept}
    wanted = [file for file, path in paths.items() if os.path.isfile(path)]
    for file, path in paths.items():
        if file not in gone and not os.path.isfile(path):
            raise TutorialError(f"{named_in} names {path}, which is not there: run prune.py again without --apply.")
    plan, taken = [], {row["to"] for row in kept}
    for file in wanted:
        place = _place(data, file, marked[file], named_in)
        if place != PurePosixPath(file):
            plan.append({"from": file, "to": _free(data, place, taken)})
            taken.add(plan[-1]["to"])
            _credits(data, file, plan[-1]["to"])  # a table that cannot be read is found before anything moves
    if plan:
        _save(data, kept + plan)
    for row in plan:
        _rename(data / row["from"], data / row["to"])
    _follow(data, [(row["from"], row["to"]) for row in kept + plan])
    return len(plan)


def move_back(data: Path) -> tuple[int, list[str]]:
    """Move everything that was moved back to where it came from, what was moved last first.

    Returns:
        How many were moved now, and those that stay because another file has taken their place.

    Raises:
        TutorialError: the manifest is damaged, or a file cannot be moved.
    """
    moved, stay = 0, []
    rows = _moves(data)
    for row in reversed(rows):
        source, target = data / row["to"], data / row["from"]
        if any(row["to"] == later["from"] for later in stay):
            stay.append(row)  # another file has the name that the photo had in between
        elif not os.path.lexists(source):
            continue  # never moved, moved back by a run that was killed, or the reader has thrown it away
        elif os.path.lexists(target):
            stay.append(row)
        else:
            _rename(source, target)
            moved += 1
    _follow(data, [(row["to"], row["from"]) for row in reversed(rows) if row not in stay])
    if stay:
        _save(data, stay[::-1])
    elif rows:
        (data / PRUNED / MANIFEST).unlink()
    for folder, _, _ in os.walk(data / PRUNED, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)
    return moved, [row["to"] for row in stay]
