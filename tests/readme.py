"""Test the README as a reader would: run its commands in a clean clone, check its links, figures and excerpts.

    python tests/readme.py --quick      with this checkout's packages, and without the slow blocks
    python tests/readme.py              everything from nothing, half an hour or more

Every ```sh block runs, in order and in one shell. Comments above a block or a table change that:

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
    paths = sorted([*project.glob("[!.]*.md"), *project.glob("[!.]*/**/[!.]*.md")])
    return {path.relative_to(project).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def shell_script(page: str, quick: bool) -> str:
    """A page's ```sh blocks as one script, which stops at the first command that fails and names it.

    Raises:
        TutorialError: a ``readme:`` comment means nothing, or is not directly above a block with its text.
    """
    script = ["set -e -o pipefail", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR"]
    unused = page.count("<!-- readme: ")
    for comments, kind, commands in BLOCK.findall(page):
        slow = comments.count("<!-- readme: slow -->")
        unused -= slow
        for text, other in re.findall("<!-- readme: with (.+)=(.*) -->", comments):
            unused -= text in commands
            commands = commands.replace(text, other)
        if kind == "sh" and not (slow and quick):
            script += [f"printf '\\n%s\\n' {shlex.quote(commands)}", commands]
    if unused:
        raise TutorialError("a readme: comment is not directly above its block, or unknown: see tests/readme.py.")
    return "\n".join(script)


def broken_links(project: Path) -> list[str]:
    """Links and pictures that lead to no file of the project or no heading in it, as GitHub names headings."""
    problems = []
    for name, page in pages(project).items():
        for target in re.findall(r"\]\(([^)]+)\)", re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page))):
            path, _, heading = target.partition("#")
            file = (project / name).parent / path if path else project / name
            if re.match("[a-z]+:", path):
                continue
            if not file.exists() or not file.resolve().is_relative_to(project.resolve()):
                problems.append(f"{name}: there is no {path}")
            elif heading:
                headings = re.findall(r"^#+ +(.+)$", BLOCK.sub("", file.read_text(encoding="utf-8")), re.MULTILINE)
                if heading not in [re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings]:
                    problems.append(f"{name}: {target} names a heading that does not exist")
    return problems


def unfounded_figures(project: Path) -> list[str]:
    """Figures in tables that are in none of the files which the comment above the table names."""
    problems = []
    for name, page in pages(project).items():
        for source, table in re.findall(r"^(?:<!-- figures: (.*?) *-->\n)?((?:\|.*\n)+)", page, re.MULTILINE):
            if name.startswith("benchmarks/") or source.startswith("none, ") or not re.search(r"\d\.\d", table):
                continue
            files = [project / file for file in source.split()]
            measured = "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
            rows = [row.strip("|").split("|") for row in table.splitlines()]
            for heading, cell in (
                (heading, cell) for row in rows[2:] for heading, cell in zip(rows[0], row, strict=True)
            ):
                cell = re.sub(r"\]\([^)]*\)|`[^`]*`|^ \d: |^ part \d", " ", cell)  # links, code, a part's number
                for figure in re.findall(FIGURE, cell) if "*" not in heading + cell else []:
                    if not re.search(rf"(?<![\w.,]){re.escape(figure)}(?!\w|[.,]\d)", measured):
                        problems.append(f"{name}: {figure} is not in {source or 'any file that is named'}")
    return problems


def drifted_excerpts(project: Path) -> list[str]:
    """```python blocks whose lines are not those of the .py file that was linked last above them.

    A line with only ``...`` stands for lines that are left out; the excerpt may be indented less than the file.
    """
    problems = []
    for name, page in pages(project).items():
        text, file = "", ""
        for link, excerpt in re.findall(r"\]\(([^)]+\.py)\)|^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
            if link:
                file, source = link, (project / name).parent / link
                text = source.read_text(encoding="utf-8") if source.is_file() else ""
            rest = text
            for part in re.split(r"^\.\.\.\n", excerpt, flags=re.MULTILINE) if excerpt else []:
                found = [rest.find("\n" + textwrap.indent(part, " " * spaces)) for spaces in range(0, 20, 4)]
                if max(found) < 0:
                    problems.append(f"{name}: this is not in {file or 'any file that is named'}: {part}")
                    break
                rest = rest[max(found) + len(part) :]
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
        clone, script, env = Path(folder, PROJECT.name), Path(folder, "commands.sh"), dict(os.environ)
        subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
        if args.quick:  # `make` finds this checkout's packages and ImageNet weights installed
            env["PYTHONPATH"] = os.pathsep.join([str(clone), str(clone / "data")])
            shutil.copy(PROJECT / "weights" / KERAS_FILE, clone / "weights")
            (clone / ".venv").symlink_to((PROJECT / ".venv").resolve())
            for path in [PROJECT / "pyproject.toml", *PROJECT.glob("requirements*.txt")]:
                shutil.copystat(path, clone / path.name)  # make compares times
        if problems := check_pages(clone):
            raise TutorialError("\n".join(problems))
        script.write_text(shell_script((clone / "README.md").read_text(encoding="utf-8"), args.quick))
        if subprocess.run(["bash", script], cwd=clone, env=env, check=False, stdin=subprocess.DEVNULL).returncode:
            raise TutorialError("a command of the README failed: see its message above.")


if __name__ == "__main__":
    sys.exit(run(main))
