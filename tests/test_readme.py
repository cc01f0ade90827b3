"""The pages are right; and the checks in readme.py, on small pages with faults."""

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
| part 2 | 0.5 once, then 1,250 s | *10* | - |

[cat.py](cat.py):

```python
for paw in range(4):
    step(paw)
...
    rest()
```
"""
FILES = {
    "docs/more.md": "# More\n\n[back](../README.md#cats)\n",
    "benchmarks/cats.md": "| 0.958 (0.950-0.975) | 30 | 3.4 (0.5-9.2) | 1,250 s |\n",
    "images/cat.png": "",
    "cat.py": "def walk():\n    for paw in range(4):\n        step(paw)\n\n        purr()\n        rest()\n",
}


def test_links_figures_and_excerpts_of_this_project():
    assert readme.check_pages(PROJECT) == []


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("", "", None),
        ("images/cat.png", "images/dog.png", "there is no images/dog.png"),
        ("docs/more.md#more", "docs/more.md#less", "docs/more.md#less names a heading"),
        ("# Cats", "# Dogs", "docs/more.md: ../README.md#cats names a heading"),
        ("(0.950-0.975)", "(0.940-0.975)", "0.958 (0.940-0.975) is not in"),
        ("0.958 (0.950-0.975)", "0.95", "0.95 is not in"),  # though 0.950 is
        ("*published*", "published", "0.71 is not in"),
        ("<!-- figures: benchmarks/cats.md -->\n", "", "1,250 is not in any file"),
        ("cats.md -->", "dogs.md -->", "0.958 (0.950-0.975) is not in benchmarks/dogs.md"),
        ("figures: benchmarks/cats.md", "figures: none, estimated", None),
        ("    step(paw)", "  step(paw)", "this is not in cat.py"),
        ("step(paw)\n...", "step(paw)", "this is not in cat.py"),  # lines are left out without dots
        ("    step(paw)\n...\n    rest()", "    rest()\n...\n    step(paw)", "this is not in cat.py"),
        ("[cat.py](cat.py):", "A file:", "this is not in any file"),
    ],
)
def test_a_page_with_a_fault(tmp_path, old, new, wanted):
    assert old in GOOD
    for name, text in {**FILES, "README.md": GOOD.replace(old, new, 1)}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    problems = readme.check_pages(tmp_path)
    assert not problems if wanted is None else wanted in "\n".join(problems)


def bash(tmp_path, page, quick=False):
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    (tmp_path / "script.sh").write_text(readme.shell_script(page, quick))
    return subprocess.run(["bash", "script.sh"], cwd=tmp_path, check=False, capture_output=True, text=True)


def sh(*commands, marks=""):
    return "\n".join([marks, "```sh", *commands, "```", ""])


@pytest.mark.parametrize("command", ["false", "(exit 7) | cat", "no_such_command", "if true; then false; fi"])
def test_the_first_command_that_fails_ends_it_and_is_named(tmp_path, command):
    done = bash(tmp_path, sh("true", command) + sh("touch reached"))
    assert done.returncode and not (tmp_path / "reached").exists()
    assert "failed: " in done.stderr and command in done.stdout


def test_blocks_run_in_order_in_one_shell_and_marks_change_them(tmp_path):
    slow = sh("touch $name", marks="<!-- readme: slow -->")
    page = sh("name=slow") + "```\nfalse\n```\n" + slow + sh("touch a.jpg", marks="<!-- readme: with a.jpg=b.jpg -->")
    assert bash(tmp_path, page, quick=True).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.jpg", "script.sh"]
    assert bash(tmp_path, page).returncode == 0
    assert (tmp_path / "slow").exists()
    for mark in ("slwo", "with that=this", "slow -->\n<!-- other"):
        with pytest.raises(TutorialError, match="not directly above its block"):
            readme.shell_script(sh("true", marks=f"<!-- readme: {mark} -->"), False)
