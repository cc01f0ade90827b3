"""What the benchmarks share: which machine this is, a mean with its range, a section of a table's file."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

from tutorial.weights_file import PACKAGES
from tutorial.whole_file import written_whole


def machine() -> str:
    """The processor, as far as the machine tells, and the packages: "AMD EPYC, 2 cores; tensorflow 2.21.0, ..."."""
    told = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    found = re.search(r"model name\s*: (.*)", told)
    name = found[1] if found else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores; {', '.join(f'{package} {version(package)}' for package in PACKAGES)}"


def spread(values: list[float], form: str) -> str:
    """Mean and range: "0.812 (0.800-0.838)"."""
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}}-{max(values):{form}})"


def write_section(table: Path, heading: str, title: str, lines: list[str]) -> None:
    """Put the section ``title`` into the Markdown file, in the place of the one it had; print it."""
    written = "\n".join([f"## {title}", "", *lines]) + "\n"
    old = table.read_text() if table.exists() else ""
    others = [f"## {part.strip()}\n" for part in old.split("\n## ")[1:] if not part.startswith(f"{title}\n")]
    with written_whole(table) as beside:
        beside.write_text("\n".join([heading, *sorted([*others, written])]))
    print(written)
