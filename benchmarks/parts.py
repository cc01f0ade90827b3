"""What the three parts score on a folder of photos, over several seeds.

    python benchmarks/parts.py --data ../shared/datasets/calico_tabby --seeds 0 1 2

Runs the parts as a reader does, each seed into a folder of its own below --runs, and writes one
section of benchmarks/parts.md. A part whose weights file is already there is not run again, so an
interrupted benchmark goes on where it stopped.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that this script finds tutorial/
from tutorial.command_line import PROJECT, parser, project_path, run, seed_number
from tutorial.weights_file import FILES, About, read_about
from tutorial.whole_file import written_whole

TABLE = project_path("benchmarks/parts.md")
HEADING = "# The three parts, measured\n\nWritten by `benchmarks/parts.py`, a section a data folder.\n"


def processor() -> str:
    """What the machine is, as far as it tells."""
    found = (
        re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if os.path.exists("/proc/cpuinfo")
        else None
    )
    return f"{found[1] if found else platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def scores(data: Path, runs: Path, seeds: list[int]) -> dict[str, list[About]]:
    """Run what has not been run yet; what each part's weights file says, a list over the seeds."""
    found: dict[str, list[About]] = {model: [] for model in FILES}
    for seed in seeds:
        folder = runs / data.name / f"seed{seed}"
        for model, (name, command) in FILES.items():
            if not (folder / name).exists():
                script = PROJECT / command.split()[1]
                flags = ["--data", str(data), "--weights-dir", str(folder), "--seed", str(seed)]
                subprocess.run([sys.executable, str(script), *flags], check=True)
            found[model].append(read_about(folder / name))
    return found


def spread(values: list[float], form: str) -> str:
    """Mean and range: "0.812 (0.800-0.838)"."""
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}}-{max(values):{form}})"


def section(data: Path, seeds: list[int], found: dict[str, list[About]]) -> str:
    """The data folder's part of the table."""
    first = found["small_convnet"][0]
    photos = ", ".join(f"{sum(counts.values())} {split}" for split, counts in first.photos.items())
    versions = ", ".join(f"{name} {number}" for name, number in first.versions.items())
    lines = [
        f"## {data.name}",
        "",
        f"{photos} photos of {' and '.join(first.class_names)}; {processor()}; {versions}.",
        f"`python benchmarks/parts.py --data {data.as_posix()} --seeds {' '.join(map(str, seeds))}`",
        "",
        "| model | epochs | train accuracy | validation accuracy | minutes |",
        "|---|---|---|---|---|",
    ]
    for model, abouts in found.items():
        train = spread([about.scores["accuracy"] for about in abouts], ".3f")
        validation = spread([about.scores["val_accuracy"] for about in abouts], ".3f")
        minutes = spread([about.minutes for about in abouts], ".1f")
        lines.append(f"| {model} | {abouts[0].settings['epochs']} | {train} | {validation} | {minutes} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the parts and write the section."""
    p = parser(
        "Measure the three parts.", "python benchmarks/parts.py --data ../shared/datasets/calico_tabby --seeds 0 1 2"
    )
    p.add_argument("--data", type=Path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", default=[0, 1, 2], help="default: 0 1 2")
    runs = project_path("weights/runs")
    p.add_argument(
        "--runs", type=Path, metavar="DIR", default=runs, help="where the runs are kept (default: %(default)s)"
    )
    args: argparse.Namespace = p.parse_args()
    written = section(args.data, args.seeds, scores(args.data, args.runs, args.seeds))
    old = TABLE.read_text() if TABLE.exists() else HEADING
    others = [part for part in old.split("\n## ")[1:] if not part.startswith(f"{args.data.name}\n")]
    sections = sorted([*(f"## {part.strip()}\n" for part in others), written])
    with written_whole(TABLE) as beside:
        beside.write_text("\n".join([HEADING, *sections]))
    print(written)


if __name__ == "__main__":
    sys.exit(run(main))
