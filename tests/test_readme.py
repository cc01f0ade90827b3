"""README.md is right; and the checks in readme.py, on small pages with faults."""

import os
import shutil
import subprocess

import readme
from conftest import PROJECT
from tutorial.cli import TutorialError

import pytest

GOOD = """# Cats

![a cat](images/cat.png) [tabbies](#tabby-cats--their-1st-coats) [more](docs/more.md#more) [site](https://example.com/x)
`[no](link)`

## Tabby cats & their `1st` coats

<!-- figures: benchmarks/cats.md -->
| part | accuracy | epochs | *published* |
|---|---|---|---|
| 1: small | 0.958 (0.950-0.975) | 30 | 0.71 |
| 2: large | 0.5 once, then 1,250 s | *10* | - |

<!-- figures: none, nobody measured them -->
| | |
|---|---|
| speed of light | 2.998 |

From [`cat.py`](cat.py):

```python
for paw in range(4):
    step(paw)

    ...
    rest()
```
"""
CAT = """def walk():
    for paw in range(3):
        step(paw)

    for paw in range(4):
        step(paw)

        purr()
        rest()
"""
CATS = "| 0.958 (0.950-0.975) | 30 | 3.4 (0.5-9.2) | 1,250 s |\n"


@pytest.fixture
def page(tmp_path):
    """A function that makes a small project whose README is the good one with one text in the place of another."""

    def make(old="", new=""):
        assert old in GOOD
        for name, text in {
            "README.md": GOOD.replace(old, new, 1),
            "docs/more.md": "# More\n\n[back](../README.md#cats)\n",
            "benchmarks/cats.md": CATS,
            "images/cat.png": "",
            "cat.py": CAT,
        }.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return make


def test_links_pictures_figures_and_excerpts_of_this_project():
    assert readme.check_text(PROJECT) == []


def test_a_good_page(page):
    assert readme.check_text(page()) == []


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("images/cat.png", "images/dog.png", "README.md, line 3: there is no 'images/dog.png'"),
        ("docs/more.md#more", "docs/less.md", "README.md, line 3: there is no 'docs/less.md'"),
        ("docs/more.md#more", "../elsewhere.md", "README.md, line 3: there is no '../elsewhere.md'"),
        ("docs/more.md#more", "docs/more.md#less", "README.md, line 3: 'docs/more.md#less' names a heading"),
        ("1st` coats", "2nd` coats", "README.md, line 3: '#tabby-cats--their-1st-coats' names a heading"),
        ("# Cats", "# Dogs", "docs/more.md, line 3: '../README.md#cats' names a heading"),
    ],
)
def test_broken_links(page, old, new, wanted):
    (problem,) = readme.broken_links(page(old, new))
    assert problem.startswith(wanted)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("0.958 (0.950-0.975)", "0.959 (0.950-0.975)", "line 11: 0.959 (0.950-0.975) is not in benchmarks/cats.md"),
        ("(0.950-0.975)", "(0.940-0.975)", "line 11: 0.958 (0.940-0.975) is not in benchmarks/cats.md"),
        ("0.958 (0.950-0.975)", "0.95", "line 11: 0.95 is not in benchmarks/cats.md"),  # though 0.950 is
        ("0.5 once", "5 once", "line 12: 5 is not in benchmarks/cats.md"),  # though 0.5 is
        ("1,250 s", "250 s", "line 12: 250 is not in benchmarks/cats.md"),
        ("30 |", "29 |", "line 11: 29 is not in benchmarks/cats.md"),
        ("*10*", "10", "line 12: 10 is not in benchmarks/cats.md"),
        ("*published*", "published", "line 11: 0.71 is not in benchmarks/cats.md"),
        ("2: large", "12: large", "line 12: 12 is not in benchmarks/cats.md"),
        ("<!-- figures: benchmarks/cats.md -->\n", "", "line 8: a table with figures, and no comment"),
        ("cats.md -->\n", "dogs.md -->\n", "line 8: there is no benchmarks/dogs.md"),
        ("<!-- figures: none, nobody measured them -->\n", "", "line 14: a table with figures, and no comment"),
        ("none, nobody measured them", "none", "line 14: there is no none"),
    ],
)
def test_figures_that_are_in_no_file(page, old, new, wanted):
    (problem,) = readme.unfounded_figures(page(old, new))
    assert wanted in problem


def test_a_figures_comment_that_is_not_above_a_table(page):
    problems = readme.unfounded_figures(page("cats.md -->\n", "cats.md -->\n\n"))
    assert any("line 8: a figures comment that is not directly above a table" in problem for problem in problems)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("step(paw)", "step(paws)", "not what cat.py says"),
        ("    step(paw)", "  step(paw)", "not what cat.py says"),
        ("    rest()", "rest()", "not what cat.py says"),
        ("    step(paw)\n\n    ...\n    rest()", "    rest()\n    ...\n    step(paw)", "not what cat.py says"),
        (
            "    step(paw)\n\n    ...\n",
            "    step(paw)\n",
            "not what cat.py says",
        ),  # lines are left out without dots
        ("range(4)", "range(3)", None),  # the first of two such lines
        ("From [`cat.py`](cat.py):", "From a file:", "names no file"),
        ("From [`cat.py`](cat.py):", "<!-- from cat.py -->", None),
    ],
)
def test_excerpts_that_drifted(page, old, new, wanted):
    problems = readme.drifted_excerpts(page(old, new))
    assert not problems if wanted is None else wanted in problems[0]


def test_a_block_that_is_not_closed(page):
    with pytest.raises(TutorialError, match="line 21"):
        readme.check_text(page("    rest()\n```\n", "    rest()\n"))


# ---- The commands ------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path):
    """A function that makes a repository with this README, and a function that tests it as readme.py does."""
    if not (shutil.which("git") and shutil.which("bash")):
        pytest.skip("git and bash are not both installed")
    folder = tmp_path / "repository"
    folder.mkdir()
    as_someone = ["-c", "user.name=a", "-c", "user.email=a@example.com"]

    def test(text, quick=False):
        (folder / "README.md").write_text(text)
        for words in (["init", "--quiet"], ["add", "README.md"], [*as_someone, "commit", "--quiet", "-m", "A page"]):
            subprocess.run(["git", "-C", folder, *words], check=True)
        (folder / "uncommitted.txt").write_text("")
        clone = tmp_path / "clone"
        readme.clean_clone(folder, clone)
        readme.run_blocks(clone, quick)
        return clone

    return test


def sh(*commands, marks=""):
    return "\n".join([marks, "```sh", *commands, "```", ""])


def test_blocks_run_in_order_in_one_shell_and_in_a_clean_clone(repository, capfd):
    clone = repository(
        "# A page\n"
        + sh("greeting=hello   # a comment", "mkdir below", "cd below")
        + "```\nfalse\n```\n"
        + sh('echo "$greeting" \\', "  there >first.txt", "for i in 1 2; do", "  echo $i >>first.txt", "done")
        + sh("cat >more.txt <<END", "it's", "END", "cat >/dev/null", "test ! -e ../uncommitted.txt")
    )
    assert (clone / "below" / "first.txt").read_text() == "hello there\n1\n2\n"
    assert (clone / "below" / "more.txt").read_text() == "it's\n"
    assert "not committed, so not in the clone that is tested: uncommitted.txt" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("commands", "line", "failing"),
    [
        (["true", "false", "touch reached"], 5, "'false' ended with exit status 1"),
        (["ls nowhere >/dev/null 2>&1 && true", "touch reached"], 4, "'ls nowhere"),
        (["(exit 7) | cat", "touch reached"], 4, "exit status 7"),
        (["true", "", "# nothing", "exit 0", "touch reached"], 7, "'exit 0'"),
        (["no_such_command", "touch reached"], 4, "exit status 127"),
        (["if true; then", "  false", "fi", "touch reached"], 4, "'if true; then'"),
        (["true", "echo 'not closed", "touch reached"], 5, "echo 'not closed"),
        (["kill -9 $$", "touch reached"], 4, "'kill -9 $$'"),
    ],
)
def test_the_first_command_that_fails_ends_it_and_is_named(repository, tmp_path, commands, line, failing):
    with pytest.raises(TutorialError) as error:
        repository("# A page\n" + sh(*commands) + sh("touch reached"))
    assert f"README.md, line {line}: " in str(error.value) and failing in str(error.value)
    assert not (tmp_path / "clone" / "reached").exists()


def test_marks(repository, capfd):
    text = (
        "# A page\n"
        + sh("touch windows", "false", marks="<!-- readme: skip, for Windows -->")
        + sh("touch slow", marks="<!-- readme: slow -->")
        + sh("cp photo.jpg copy.jpg", marks="<!-- readme: with photo.jpg=README.md -->")
        + sh("touch both-a", marks="<!-- readme: slow -->\n<!-- readme: with both-a=both-b -->")
    )
    clone = repository(text, quick=True)
    assert sorted(path.name for path in clone.iterdir()) == [".git", "README.md", "copy.jpg"]
    assert "line 4 (skip, for Windows)" in capfd.readouterr().out
    shutil.rmtree(clone)
    clone = repository(text + "\n")
    assert sorted(path.name for path in clone.iterdir()) == [".git", "README.md", "both-b", "copy.jpg", "slow"]


@pytest.mark.parametrize("mark", ["skip", "slwo", "with that=this", "with", "skip,"])
def test_unknown_marks(repository, mark):
    with pytest.raises(TutorialError, match=f'README.md, line 3: "readme: {mark}"'):
        repository("# A page\n" + sh("true", marks=f"<!-- readme: {mark} -->"))


def test_a_mark_that_is_not_directly_above_a_block(repository):
    with pytest.raises(TutorialError, match="not directly above a block"):
        repository("# A page\n" + sh("true", marks="<!-- readme: slow -->\n"))


def test_a_folder_that_is_no_repository(tmp_path):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    (tmp_path / "folder").mkdir()
    with pytest.raises(TutorialError, match="clone of the repository"):
        readme.clean_clone(tmp_path / "folder", tmp_path / "clone")


def test_what_make_has_set_up_is_reused_unless_the_packages_differ(tmp_path):
    project, clone, other = (tmp_path / name for name in ("project", "clone", "other"))
    for folder in (project, clone, other):
        (folder / "weights").mkdir(parents=True)
        (folder / "requirements.txt").write_text("a==1\n" if folder != other else "a==2\n")
        (folder / "pyproject.toml").write_text("")
    for name in ("requirements.txt", "pyproject.toml"):
        os.utime(project / name, (1e9, 1e9))
    (project / ".venv").mkdir()
    (project / ".venv" / ".installed").write_text("")
    (project / "weights" / readme.KERAS_FILE).write_text("weights")
    (clone / "Makefile").write_text(".venv/.installed: requirements.txt pyproject.toml\n\tfalse\n")
    readme.reuse(project, clone)
    readme.reuse(project, other)
    assert (clone / "weights" / readme.KERAS_FILE).read_text() == "weights"
    assert subprocess.run(["make", "-C", clone], check=False, capture_output=True).returncode == 0
    assert not (other / ".venv").exists()


def test_pre_commit_and_make_check_with_the_same_ruff():
    pinned = [
        line.split()[0] for line in (PROJECT / "requirements-dev.txt").read_text().splitlines() if "ruff==" in line
    ]
    hooks = (PROJECT / ".pre-commit-config.yaml").read_text()
    assert hooks.count("ruff==") == hooks.count(f"[{pinned[0]}]") == 2
