"""Kill the parts at random moments, again and again, and compare what they end with.

    python benchmarks/soak.py --data ../shared/datasets/calico_tabby         about 20 minutes a recipe

Each part is run once undisturbed, which gives the weights to compare with and the time that it takes. Then it is
started repeatedly in a new folder: three times it is killed (SIGKILL) at a random moment of that time, the fourth time
it may end. Its weights must be those of the undisturbed run to the bit, and no temporary file may be left. Then runs
are interrupted by Ctrl-C (SIGINT) at random moments. Needs Linux or macOS.
"""

import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from report import linked_photos, preamble, tensors, write_section
from tutorial.cli import PROJECT, file_path, parser, positive_int, project_path, run, seed_number
from tutorial.files import TEMPORARY
from tutorial.model_file import FILES

import numpy as np

TABLE = project_path("benchmarks/soak.md")
HEADING = (
    "# Killed at any moment\n\nWritten by `benchmarks/soak.py`: each part with --epochs 4 on 40 training and 16"
    " validation photos,\nkilled at random moments, started again, and at its end compared with an undisturbed"
    " run.\n"
)
PHOTOS = {"train": 20, "validation": 8}  # a class
KILLS = 3  # before a run may end
STOPS = 8  # by Ctrl-C
RECIPES = ["original", "improved"]
PHASES = {  # of a run when it was killed, by the line printed last
    "loading": ("device",),
    "activations": ("bottleneck features of", "block 4's", "reusing"),
    "training": ("Epoch", "resuming the", "top model"),
    "saving": ("validation", "train "),
}


class Part:
    """A part's process and what it printed: lines, and the seconds from its start at which they came."""

    def __init__(self, part: int, recipe: str, data: Path, weights: Path) -> None:
        script = list(FILES.values())[part - 1][1].split()[1]
        flags = ["--data", data, "--weights-dir", weights, "--recipe", recipe, "--epochs", 4]
        self.start, self.lines = time.monotonic(), []
        self.process = subprocess.Popen(
            [sys.executable, "-u", str(PROJECT / script), *map(str, flags)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append((time.monotonic() - self.start, line))

    def end(self, after: float | None = None, by: signal.Signals = signal.SIGKILL) -> float | None:
        """Let it run, or send it a signal after so many seconds; how long it then took to end, in seconds.

        None where it had ended before that.
        """
        took = None
        try:
            self.process.wait(after)
        except subprocess.TimeoutExpired:
            since = time.monotonic()
            self.process.send_signal(by)
            self.process.wait()
            took = time.monotonic() - since
        self.reader.join()
        if self.process.returncode not in (0, -by, 130):
            raise SystemExit("".join(line for _, line in self.lines))
        return took

    def phase(self) -> str:
        """What it was doing."""
        now = "loading"
        for _, line in self.lines:
            now = next((name for name, begins in PHASES.items() if line.startswith(begins)), now)
        return now

    def resumed(self) -> list[float]:
        """When it had resumed the interrupted run."""
        return [when for when, line in self.lines if line.startswith("resuming ")]


def soak(part: int, recipe: str, data: Path, folder: Path, kills: int, chance: random.Random) -> list[str]:
    """The cells of one row."""
    weights = list(FILES.values())[part - 1][0]
    before = folder / recipe / f"before{part}"  # what earlier parts have left
    whole = folder / recipe / f"before{part + 1}"
    before.mkdir(parents=True, exist_ok=True)
    shutil.copytree(before, whole)
    undisturbed = Part(part, recipe, data, whole)
    undisturbed.end()
    seconds = time.monotonic() - undisturbed.start
    wanted = tensors(whole / weights)
    same, runs, phases, resumed = 0, 0, Counter(), []
    cut = folder / "cut"
    while sum(phases.values()) < kills:
        shutil.copytree(before, cut)
        for last in [False] * KILLS + [True]:
            process = Part(part, recipe, data, cut)
            process.end(None if last else chance.uniform(0, seconds))
            if process.process.returncode == -signal.SIGKILL:
                phases[process.phase()] += 1
            resumed += process.resumed()[:1]
        runs += 1
        debris = [path for path in cut.rglob("*") if path.name.startswith(TEMPORARY) or ".checkpoint." in path.name]
        ended = tensors(cut / weights)
        same += (
            not debris and ended.keys() == wanted.keys() and all(np.array_equal(ended[i], wanted[i]) for i in wanted)
        )
        shutil.rmtree(cut)
    shutil.copytree(before, cut)
    stopped = [Part(part, recipe, data, cut).end(chance.uniform(1, seconds), signal.SIGINT) for _ in range(STOPS)]
    stopped = [took for took in stopped if took is not None]
    shutil.rmtree(cut)
    shutil.rmtree(whole / "activations", ignore_errors=True)  # the next part does not need them
    where = ", ".join(f"{phases[phase]} {phase}" for phase in PHASES)
    took = f"{statistics.median(resumed):.1f} ({max(resumed):.1f})" if resumed else "-"
    return [
        str(sum(phases.values())),
        where,
        f"{same} of {runs}",
        took,
        f"{max(stopped, default=0):.1f} of {len(stopped)}",
    ]


def main() -> None:
    """Soak the parts; the table grows with each."""
    p = parser(__doc__)
    p.add_argument("--data", type=file_path, metavar="DIR", required=True, help="folder with train/ and validation/")
    p.add_argument("--kills", type=positive_int, metavar="N", default=30, help="of each part (default: %(default)s)")
    p.add_argument("--recipe", choices=RECIPES, nargs="+", default=RECIPES, help="to run (default: both)")
    p.add_argument("--seed", type=seed_number, metavar="N", default=0, help="of the moments (default: %(default)s)")
    args = p.parse_args()
    chance = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        data = linked_photos(args.data, Path(folder, "photos"), PHOTOS)
        for recipe in args.recipe:
            lines = [
                *preamble(after=f", seed {args.seed}"),
                "| part | kills | while | ended with the same bits | resumed after: s, median (max) | Ctrl-C: s, max |",
                "|---|---|---|---|---|---|",
            ]
            for part in (1, 2, 3):
                cells = soak(part, recipe, data, Path(folder), args.kills, chance)
                lines.append(f"| {part} | {' | '.join(cells)} |")
                write_section(TABLE, HEADING, f"{args.data.name}, {recipe} recipe", lines)


if __name__ == "__main__":
    sys.exit(run(main))
