"""The README tested as a reader would: its commands in a clean clone, its links, pictures, figures and excerpts.

    python tests/readme.py --quick      what "make" sets up is taken from this checkout, and slow blocks are left out
    python tests/readme.py              everything from nothing, half an hour or more

The clone has what is committed. Every ```sh block runs in order, all in one shell, as in one terminal. Comments directly
above a block or a table tell what a reader sees without them:

    <!-- readme: skip, REASON -->           a block that cannot run here: on Windows, say
    <!-- readme: slow -->                   a block that --quick leaves out
    <!-- readme: with TEXT=OTHER -->        a block that runs with other text in its place
    <!-- figures: FILE FILE ... -->         a table whose figures are in these files
    <!-- figures: none, REASON -->          a table whose numbers are not measured

In a table, italics mark what these files need not contain: a cell, or by its heading a column.
"""

import filecmp
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tutorial.cli import PROJECT, TutorialError, duration, parser, run
from tutorial.imagenet_weights import KERAS_FILE

README = "README.md"
NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?%?"
FIGURE = rf"(?<![\w.]){NUMBER}(?: \({NUMBER}(?:-| to ){NUMBER}\))?"  # with its range, where it has one
LEFT_OUT = ("...", "# ...")  # lines of an excerpt that stand for others


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str  # what follows its fence: "sh", "python" or ""
    line: int  # of its first line of content, counted from 1
    lines: list[str]
    marks: list[str]  # what the ``readme:`` comments directly above it say


def _marks(lines: list[str], below: int, kind: str) -> list[str]:
    """What the comments ``<!-- kind: ... -->`` directly above the line with this index say."""
    found = []
    while below and (mark := re.fullmatch(rf"<!-- {kind}: (.*?) *-->", lines[below - 1].strip())):
        found.append(mark[1])
        below -= 1
    return found[::-1]


def blocks(text: str) -> list[Block]:
    """A page's fenced blocks. Raises TutorialError where a fence is not closed."""
    lines, found, fence = text.splitlines(), [], -1
    for i, line in enumerate(lines):
        if line.lstrip().startswith("```"):
            if fence < 0:
                fence = i
                continue
            content = textwrap.dedent("\n".join(lines[fence + 1 : i])).split("\n") if i > fence + 1 else []
            found.append(Block(lines[fence].strip(" `"), fence + 2, content, _marks(lines, fence, "readme")))
            fence = -1
    if fence >= 0:
        raise TutorialError(f"line {fence + 1} of the page begins a block that is not closed: add its ```.")
    return found


def _without_blocks(text: str) -> list[str]:
    """A page's lines, those of its fenced blocks empty."""
    lines = text.splitlines()
    for block in blocks(text):
        start, end = block.line - 2, block.line + len(block.lines)  # the fences too
        lines[start:end] = [""] * (end - start)
    return lines


# ---- The commands ------------------------------------------------------------------------------


def _what_to_run(block: Block, quick: bool) -> str | None:
    """A block's commands, or None where it is left out. Raises TutorialError for a mark that means nothing."""
    text, left_out = "\n".join(block.lines), False
    for mark in block.marks:
        name, _, rest = mark.partition(" ")
        old, equals, new = rest.partition("=")
        if name == "with" and equals and old in text:
            text = text.replace(old, new)
        elif name == "skip," and rest:
            left_out = True
        elif mark == "slow":
            left_out |= quick
        else:
            raise TutorialError(
                f'{README}, line {block.line - 1}: "readme: {mark}" is no mark, or the block does not hold its text: '
                "see the top of tests/readme.py."
            )
    return None if left_out else text


def _commands(text: str) -> Iterator[tuple[int, str]]:
    """The shell's commands, one at a time however many lines it has, each with how many lines are above it."""
    whole, begun = "", 0
    for i, line in enumerate(text.splitlines()):
        whole, begun = (f"{whole}\n{line}", begun) if whole else (line, i)
        read = subprocess.run(["bash", "-n"], input=whole, capture_output=True, text=True, check=False)
        if not (whole.endswith("\\") or read.returncode or read.stderr):  # it warns of an open here-document
            if whole.strip():
                yield begun, whole
            whole = ""
    if whole:
        yield begun, whole  # the shell will say what is wrong with it


def run_blocks(project: Path, quick: bool) -> None:
    """Run the commands of the README in ``project``, where it lies; what they print goes to the terminal.

    All blocks run in one shell, so that an environment stays active and a folder is where ``cd`` led. The first
    command that fails ends it.

    Raises:
        TutorialError: a command failed; it is named with its line. Or bash is missing, or a mark means nothing.
    """
    if not shutil.which("bash"):
        raise TutorialError(f"bash runs the commands of {README}, and it is not installed: install it.")
    text = (project / README).read_text(encoding="utf-8")
    marked = sum(line.strip().startswith("<!-- readme:") for line in _without_blocks(text))
    if marked != sum(len(block.marks) for block in blocks(text)):
        raise TutorialError(f"{README} has a readme: comment that is not directly above a block: move it there.")
    script, left_out = ["set -e -o pipefail"], []
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "line"  # that the shell is at
        for block in blocks(text):
            if block.kind != "sh":
                continue
            commands = _what_to_run(block, quick)
            if commands is None:
                left_out.append(f"line {block.line} ({', '.join(block.marks)})")
                continue
            shown = f"\n== {README}, line {block.line}\n{commands}\n"
            script.append(f"printf '%s\\n' {shlex.quote(shown)}")
            for above, command in _commands(commands):
                # As one word for eval, a command that fails in "a && b" counts, too.
                script.append(f"echo {block.line + above} >{shlex.quote(str(here))}\neval {shlex.quote(command)}")
        script.append(f"echo end >{shlex.quote(str(here))}")
        path = Path(folder) / "commands.sh"
        path.write_text("\n".join(script) + "\n", encoding="utf-8")
        begun = time.monotonic()
        env = dict(os.environ)
        if quick:  # the packages are this checkout's, and so would tutorial/ be
            env["PYTHONPATH"] = os.pathsep.join([str(project), str(project / "data")])
        done = subprocess.run(["bash", str(path)], cwd=project, env=env, stdin=subprocess.DEVNULL, check=False)
        reached = here.read_text().strip()
    if reached != "end":
        failed = text.splitlines()[int(reached) - 1].strip()
        raise TutorialError(
            f"{README}, line {reached}: {failed!r} ended with exit status {done.returncode}: see its message above."
        )
    print(f"\n{README}: its commands ran in {duration(time.monotonic() - begun)}")
    if left_out:
        print(f"left out: {'; '.join(left_out)}")


def _git(*words: object) -> str:
    """What git says. Raises TutorialError where it fails."""
    try:
        done = subprocess.run(["git", *map(str, words)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise TutorialError("git makes the clean clone, and it is not installed: install it.") from None
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise TutorialError(f"no clean clone could be made: run this in a clone of the repository ({reason}).")
    return done.stdout


def clean_clone(project: Path, clone: Path) -> None:
    """Clone a repository, and say what is not in the clone.

    Raises:
        TutorialError: it is none.
    """
    _git("clone", "--quiet", project, clone)
    changed = [line[3:] for line in _git("-C", project, "status", "--porcelain").splitlines()]
    if changed:
        print(f"not committed, so not in the clone that is tested: {', '.join(changed)}", flush=True)


def reuse(project: Path, clone: Path) -> None:
    """Give a clone the packages and ImageNet weights of its origin, so that ``make`` finds them installed."""
    weights = Path("weights", KERAS_FILE)
    if (project / weights).exists():
        shutil.copy(project / weights, clone / weights)
    names = ["pyproject.toml", *(path.name for path in clone.glob("requirements*.txt"))]
    _, other, missing = filecmp.cmpfiles(project, clone, names, shallow=False)
    if (project / ".venv").exists() and not other + missing:
        (clone / ".venv").symlink_to((project / ".venv").resolve())
        for name in names:
            shutil.copystat(project / name, clone / name)  # make compares times


# ---- Links, pictures, figures, excerpts --------------------------------------------------------


def _anchors(page: Path) -> set[str]:
    """What a link may name in a page: its headings, as GitHub makes anchors of them."""
    found: dict[str, int] = {}
    for line in _without_blocks(page.read_text(encoding="utf-8")):
        if heading := re.match(r"#{1,6} +(.+)", line):
            words = re.sub(r"\]\([^)]*\)", "", heading[1]).strip().lower()
            name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            found[name] = found.get(name, -1) + 1
            if found[name]:
                found[f"{name}-{found[name]}"] = 0
    return set(found)


def broken_links(project: Path) -> list[str]:
    """Relative links and pictures of all pages that lead nowhere, a sentence each; anchors in pages too."""
    problems = []
    for page in sorted(project.rglob("*.md")):
        name = page.relative_to(project)
        if any(part.startswith(".") for part in name.parts):
            continue
        text = re.sub(r"`[^`\n]*`", "", "\n".join(_without_blocks(page.read_text(encoding="utf-8"))))
        for link in re.finditer(r'\]\(([^)]*)\)|\b(?:src|href)="([^"]*)"|^\[[^\]]+\]: *(\S+)', text, re.MULTILINE):
            target = re.sub(r'\s+"[^"]*"$', "", next(filter(None, link.groups()), "")).strip("<> ")
            if re.match(r"[a-z]+:", target, re.IGNORECASE):
                continue
            path, _, anchor = unquote(target).partition("#")
            place = page if not path else project / path[1:] if path.startswith("/") else page.parent / path
            line = text.count("\n", 0, link.start()) + 1
            if not target or not place.exists() or not place.resolve().is_relative_to(project.resolve()):
                problems.append(f"{name.as_posix()}, line {line}: there is no {target!r} in the repository")
            elif anchor and place.suffix == ".md" and anchor not in _anchors(place):
                problems.append(f"{name.as_posix()}, line {line}: {target!r} names a heading that is not there")
    return problems


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def _tables(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The tables among a page's lines: the index of the first line, and the lines."""
    start = None
    for i, line in enumerate([*lines, ""]):
        if line.startswith("|"):
            start = i if start is None else start
        elif start is not None:
            yield start, lines[start:i]
            start = None


def _figures(cell: str, name: bool) -> list[str]:
    """The figures in a cell. One digit in the ``name`` of a row or column, or before a colon, is a part's number."""
    if re.fullmatch(r"\*[^*]+\*", cell):
        return []
    found = re.findall(FIGURE, re.sub(r"\]\([^)]*\)|`[^`]*`|^\d: ", " ", cell))
    return [one for one in found if not (name and len(one) == 1)]


def unfounded_figures(project: Path) -> list[str]:
    """Figures of the README's tables that none of the files named above a table holds, a sentence each."""
    problems = []
    lines = _without_blocks((project / README).read_text(encoding="utf-8"))
    marked = {i for i, line in enumerate(lines) if line.strip().startswith("<!-- figures:")}
    for start, table in _tables(lines):
        said = _marks(lines, start, "figures")
        marked -= {start - 1}
        if not said:
            if re.search(r"\d\.\d", "".join(table)):
                problems.append(f"{README}, line {start + 1}: a table with figures, and no comment says where from")
            continue
        if re.fullmatch("none, .+", said[0]):
            continue
        sources = [project / name for name in said[0].split()]
        missing = [path for path in sources if not path.is_file()]
        if missing:
            problems.append(f"{README}, line {start}: there is no {missing[0].relative_to(project).as_posix()}")
            continue
        held = "\n".join(path.read_text(encoding="utf-8") for path in sources)
        headings = _cells(table[0])
        exempt = [re.fullmatch(r"\*[^*]+\*", heading) is not None for heading in headings]
        for i, row in enumerate(table):
            for column, cell in enumerate(_cells(row)):
                if column < len(exempt) and exempt[column]:
                    continue
                for figure in _figures(cell, name=i == 0 or column == 0):
                    if not re.search(rf"(?<![\w.,]){re.escape(figure)}(?!\w|[.,]\d)", held):
                        problems.append(f"{README}, line {start + i + 1}: {figure} is not in {said[0]}")
    problems += [f"{README}, line {i + 1}: a figures comment that is not directly above a table" for i in marked]
    return problems


def _occurs(excerpt: list[str], source: list[str]) -> bool:
    """Whether an excerpt's lines follow each other in the source, all indented further by the same amount or none.

    A line of dots stands for any lines of the source.
    """
    runs: list[list[str]] = [[]]
    for line in excerpt:
        if line.strip() in LEFT_OUT:
            runs.append([])
        else:
            runs[-1].append(line)
    for indent in range(0, 40, 4):
        place = 0
        for part in runs:
            wanted = [" " * indent + line if line else "" for line in part]
            places = range(place, len(source) - len(wanted) + 1)
            found = next((i for i in places if source[i : i + len(wanted)] == wanted), None)
            if found is None:
                break
            place = found + len(wanted)
        else:
            return any(runs)
    return False


def drifted_excerpts(project: Path) -> list[str]:
    """The README's ```python blocks that are not in the file that the line above them names, a sentence each."""
    problems = []
    text = (project / README).read_text(encoding="utf-8")
    for block in blocks(text):
        if block.kind != "python":
            continue
        above = next((line for line in reversed(text.splitlines()[: block.line - 2]) if line.strip()), "")
        named = [name for name in re.findall(r"[\w./-]+\.py\b", above) if (project / name).is_file()]
        if not named:
            problems.append(f"{README}, line {block.line}: the line above this excerpt names no file that it is from")
        elif not _occurs(block.lines, (project / named[-1]).read_text(encoding="utf-8").splitlines()):
            problems.append(f"{README}, line {block.line}: this excerpt is not what {named[-1]} says")
    return problems


def check_text(project: Path) -> list[str]:
    """All that can be checked without running anything, a sentence a problem."""
    return broken_links(project) + unfounded_figures(project) + drifted_excerpts(project)


def main() -> None:
    """Make a clean clone and test its README."""
    p = parser(str(__doc__))
    p.add_argument("--quick", action="store_true", help="with this checkout's packages, and without the slow blocks")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / PROJECT.name
        clean_clone(PROJECT, clone)
        problems = check_text(clone)
        for problem in problems:
            print(problem)
        if problems:
            raise TutorialError(f"{README} or another page has the faults above: correct them.")
        if args.quick:
            reuse(PROJECT, clone)
        run_blocks(clone, args.quick)


if __name__ == "__main__":
    sys.exit(run(main))
