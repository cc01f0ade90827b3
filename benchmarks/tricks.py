"""What each speed trick of tutorial/backend.py saves, in paired runs.

    python benchmarks/tricks.py --data ../shared/datasets/calico_tabby        about 5 minutes

Processes in turn, with the project as it is and with a copy without the trick. Writes one section of
benchmarks/speed.md. Winograd's convolution beside Keras's own is in benchmarks/speed.py.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from report import preamble, write_section
from speed import HEADING, TABLE
from tutorial.cli import PROJECT, echo, file_path, parser, positive_int, project_path, run
from tutorial.dataset import find_photos

MALLOPT = r"(?s)if platform\.libc_ver.*?\n\n"
TRICKS = {  # what is measured, its command, and the lines of backend.py that the copy lacks
    "oneDNN: part 1, 6 epochs, s": ("part1", r"os\.environ\.setdefault\(\"TF_ENABLE_ONEDNN_OPTS.*"),
    "memory kept between steps (mallopt): part 1, 6 epochs, s": ("part1", MALLOPT),
    "no garbage collection during the import: predict.py, 1 photo, s": ("predict", r"gc\.(?:disable|freeze)\(\)"),
    "scikit-learn not imported: predict.py, 1 photo, s": ("predict", r'sys\.modules\["sklearn"\] = None'),
}  # fmt: skip


def seconds(folder: Path, command: list[object]) -> float:
    """How long a command takes in a copy of the project."""
    start = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run([sys.executable, *map(str, command)], cwd=folder, env=env, check=True, capture_output=True)
    return time.monotonic() - start


def row(title: str, without: list[float], with_it: list[float]) -> str:
    """A line of the table."""
    cells = [f"{median(one):.2f} ({min(one):.2f}-{max(one):.2f})" for one in (without, with_it)]
    echo(f"{title}: {' / '.join(cells)}")
    return f"| {title} | {' | '.join(cells)} | {1 - median(with_it) / median(without):.0%} |"


def main() -> None:
    """Measure and write the section."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--rounds", type=positive_int, metavar="N", default=7, help="default: %(default)s")
    args = p.parse_args()
    data, photo = args.data.resolve(), find_photos(args.data.resolve() / "validation").photos[0]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary, name) for name in ("with", "without")]
        for folder in folders:
            shutil.copytree(PROJECT / "tutorial", folder / "tutorial")
            for script in PROJECT.glob("*.py"):
                shutil.copy(script, folder)
        backend = folders[1] / "tutorial" / "backend.py"
        weights = project_path("weights/pretrained/small_convnet.weights.h5").resolve()
        commands = {
            "part1": ["fine_tuning_VGG16_pt1.py", "--data", data, "--epochs", 6, "--restart", "--weights-dir", "w"],
            "predict": ["predict.py", photo, "--weights", weights],
        }
        for title, (which, lines) in TRICKS.items():
            backend.write_text(re.sub(lines, "pass\n", (folders[0] / "tutorial" / "backend.py").read_text()))
            times: list[list[float]] = [[], []]
            for i in range(args.rounds):
                for j in (0, 1) if i % 2 else (1, 0):
                    times[j].append(seconds(folders[j], commands[which]))
            rows.append(row(title, times[1], times[0]))
    lines = [
        *preamble(after=f", {args.rounds} rounds"),
        "| | without | with | time saved |",
        "|---|---|---|---|",
        *rows,
    ]
    write_section(TABLE, HEADING, "what each trick saves", lines)


if __name__ == "__main__":
    sys.exit(run(main))
