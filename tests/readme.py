"""Test the README as a reader would: run its commands in a clean clone, check its links, figures and excerpts.

    python tests/readme.py --quick      with this checkout's packages, and without the slow blocks
    python tests/readme.py              everything from nothing, half an hour or more

Every ```sh block runs, in order and in one shell. Comments above a block or a table change that:

    <!-- readme: skip, REASON -->           a block that cannot run here
    <!-- readme: slow -->                   a block that --quick leaves out
    <!-- readme: with TEXT=OTHER -->        a block that runs with other text in its place
    <!-- figures: FILE FILE ... -->         a table whose figures are in these files
    <!-- figures: none, REASON -->          a table whose numbers are not measured

In a table, figures in italics are not checked: of a cell, or below a heading in italics.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from tutorial.cli import PROJECT, TutorialError, parser, run
from tutorial.imagenet_weights import KERAS_FILE

BLOCK = re.compile(r"((?:^<!-- readme: [^\n]*-->\n)*)^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?%?"
FIGURE = rf"(?<![\w.]){NUMBER}(?: \({NUMBER}(?:-| to ){NUMBER}\))?"  # with its range, where it has one


def pages(project: Path) -> dict[str, str]:
    """Every page of a project by its path in it."""
    paths = (path.relative_to(project) for path in sorted(project.rglob("*.md")))
    return {
        path.as_posix(): (project / path).read_text(encoding="utf-8")
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
    }


# ---- The commands ------------------------------------------------------------------------------


def shell_script(page: str, quick: bool) -> str:
    """A page's ```sh blocks as one script, which stops at the first command that fails and names it.

    Raises:
        TutorialError: a ``readme:`` comment is not directly above a block, or means nothing.
    """
    script = ["set -e -o pipefail", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR"]
    marks = 0
    for comments, kind, commands in BLOCK.findall(page):
        left_out = kind != "sh"
        for mark in re.findall("<!-- readme: (.*?) *-->", comments):
            marks += 1
            replaced = re.fullmatch("with (.+)=(.*)", mark)
            if replaced and replaced[1] in commands:
                commands = commands.replace(replaced[1], replaced[2])
            elif mark == "slow" or re.fullmatch("skip, .+", mark):
                left_out |= quick or mark != "slow"
            else:
                raise TutorialError(f'"readme: {mark}" means nothing here: see the top of tests/readme.py.')
        if not left_out:
            script += [f"printf '\\n%s\\n' {shlex.quote(commands)}", commands]
    if marks != page.count("<!-- readme: "):
        raise TutorialError("a readme: comment is not directly above a block: move it there.")
    return "\n".join(script)


def clean_clone(project: Path, clone: Path, quick: bool) -> None:
    """Clone a repository; with ``quick``, ``make`` finds its packages and ImageNet weights installed in the clone."""
    subprocess.run(["git", "clone", "--quiet", project, clone], check=True)
    if quick:
        shutil.copy(project / "weights" / KERAS_FILE, clone / "weights")
        (clone / ".venv").symlink_to((project / ".venv").resolve())
        for path in [project / "pyproject.toml", *project.glob("requirements*.txt")]:
            shutil.copystat(path, clone / path.name)  # make compares times


# ---- Links, figures, excerpts ------------------------------------------------------------------


def headings(page: str) -> set[str]:
    """The names by which links find a page's headings on GitHub."""
    found = re.findall(r"^#+ +(.+)$", BLOCK.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def broken_links(project: Path) -> list[str]:
    """Links and pictures that lead to no file of the project or no heading in it."""
    problems = []
    for name, page in pages(project).items():
        text = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page))
        for target in re.findall(r'\]\(([^)]+)\)|(?:src|href)="([^"]+)"', text):
            path, _, heading = "".join(target).partition("#")
            if re.match("[a-z]+:", path):
                continue
            file = ((project / name).parent / path if path else project / name).resolve()
            if not file.exists() or not file.is_relative_to(project.resolve()):
                problems.append(f"{name}: there is no {path}")
            elif heading and heading not in headings(file.read_text(encoding="utf-8")):
                problems.append(f"{name}: {path}#{heading} names a heading that does not exist")
    return problems


def unfounded_figures(project: Path) -> list[str]:
    """Figures in tables that are in none of the files which the comment above the table names."""
    problems = []
    for name, page in pages(project).items():
        for source, table in re.findall(r"^(?:<!-- figures: (.*?) *-->\n)?((?:\|.*\n)+)", page, re.MULTILINE):
            if name.startswith("benchmarks/") or source.startswith("none, ") or not re.search(r"\d\.\d", table):
                continue
            files = [project / file for file in source.split()]
            if not files or not all(file.is_file() for file in files):
                problems.append(f"{name}: no file holds the figures of the table {table[:60]!r}")
                continue
            measured = "\n".join(file.read_text(encoding="utf-8") for file in files)
            rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]
            for row in rows[2:]:
                for heading, cell in zip(rows[0], row, strict=True):
                    cell = re.sub(r"\]\([^)]*\)|`[^`]*`|^\d: |^part \d", " ", cell)  # links, code, a part's number
                    for figure in re.findall(FIGURE, cell) if "*" not in heading + cell else []:
                        if not re.search(rf"(?<![\w.,]){re.escape(figure)}(?!\w|[.,]\d)", measured):
                            problems.append(f"{name}: {figure} is not in {source}")
    return problems


def drifted_excerpts(project: Path) -> list[str]:
    """```python blocks whose lines are not those of the file that the line above links to.

    A line with only ``...`` stands for lines that are left out; the excerpt may be indented less than the file.
    """
    problems = []
    for name, page in pages(project).items():
        for _, file, excerpt in re.findall(r"^(.*\]\((.+\.py)\).*\n\n?)?```python\n(.*?)```$", page, re.M | re.S):
            source = (project / name).parent / file
            text = source.read_text(encoding="utf-8") if file and source.is_file() else ""
            for part in re.split(r"^\.\.\.\n", excerpt, flags=re.MULTILINE):
                found = [text.find("\n" + textwrap.indent(part, " " * spaces)) for spaces in range(0, 20, 4)]
                if max(found) < 0:
                    problems.append(f"{name}: this is not in {file or 'any file that is named'}: {part}")
                    break
                text = text[max(found) + len(part) :]
    return problems


def check_pages(project: Path) -> list[str]:
    """All that can be checked without running anything, a sentence a problem."""
    return broken_links(project) + unfounded_figures(project) + drifted_excerpts(project)


def main() -> None:
    """Make a clean clone and test its README."""
    p = parser(str(__doc__))
    p.add_argument("--quick", action="store_true", help="with this checkout's packages, and without the slow blocks")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / PROJECT.name
        clean_clone(PROJECT, clone, args.quick)
        if problems := check_pages(clone):
            raise TutorialError("\n".join(problems))
        env = dict(os.environ)
        if args.quick:  # the packages are this checkout's, and so would tutorial/ be
            env["PYTHONPATH"] = os.pathsep.join([str(clone), str(clone / "data")])
        script = Path(folder) / "commands.sh"
        script.write_text(shell_script((clone / "README.md").read_text(encoding="utf-8"), args.quick))
        if subprocess.run(["bash", script], cwd=clone, env=env, check=False, stdin=subprocess.DEVNULL).returncode:
            raise TutorialError("a command of the README failed: see its message above.")


if __name__ == "__main__":
    sys.exit(run(main))
