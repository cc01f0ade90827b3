"""Fuzz the photo loader for some minutes: each broken file must become pixels or a PhotoError, and soon.

    python benchmarks/fuzz.py --minutes 10

Hypothesis generates the damage (format, truncation, changed and inserted bytes) and, when something goes wrong,
searches the smallest file that does it and prints it; tests/test_bad_photos.py keeps such files.
"""

import sys
import tempfile
import time
from pathlib import Path

from report import FORMATS, encoded, machine, picture, write_section
from tutorial.cli import parser, positive_int, project_path, run
from tutorial.images import PhotoError, read_photo

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

TABLE = project_path("benchmarks/fuzz.md")
HEADING = "# The photo loader, fuzzed\n\nWritten by `benchmarks/fuzz.py`: files that Hypothesis broke.\n"
SLOW = 10.0  # seconds for one small file
SOURCES = [
    *((suffix, encoded(picture(), suffix)) for suffix in FORMATS),
    ("png", encoded(picture().convert("P"), "png")),
    ("gif", encoded(picture(), "gif", save_all=True, append_images=[picture().rotate(90)])),
    ("webp", encoded(picture(), "webp", lossless=True)),
    ("jpg", encoded(picture(), "jpg", progressive=True)),
    ("tif", encoded(picture(), "tif", compression="tiff_lzw")),
    ("jpg", encoded(picture().convert("CMYK"), "jpg")),
]
PLACE = st.floats(0, 1, exclude_max=True)
EARLY = st.integers(0, 99).map(lambda byte: byte / 10_000)  # headers
CHANGES = st.lists(st.tuples(PLACE | EARLY, st.binary(min_size=1, max_size=8), st.booleans()), max_size=8)


def broken(content: bytes, changes: list[tuple[float, bytes, bool]], kept: float) -> bytes:
    """The file with bytes overwritten and inserted, then truncated."""
    changed = bytearray(content)
    for place, new, insert in changes:
        at = int(place * len(changed))
        changed[at : at if insert else at + len(new)] = new
    return bytes(changed[: int(len(changed) * kept) + 1])


def main() -> None:
    """Fuzz until the time is over."""
    p = parser(__doc__)
    p.add_argument("--minutes", type=positive_int, metavar="N", default=10, help="default: %(default)s")
    args = p.parse_args()
    count = {"files": 0, "read": 0}
    until, slowest = time.monotonic() + 60 * args.minutes, 0.0
    with tempfile.TemporaryDirectory() as folder:

        @given(st.sampled_from(SOURCES), CHANGES, st.just(1.0) | PLACE)
        @settings(
            max_examples=500,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        def one_round(source: tuple[str, bytes], changes: list[tuple[float, bytes, bool]], kept: float) -> None:
            nonlocal slowest
            path = Path(folder, f"photo.{source[0]}")
            path.write_bytes(broken(source[1], changes, kept))
            begun = time.monotonic()
            try:
                pixels = read_photo(path, 150)
                assert pixels.shape == (150, 150, 3)
                count["read"] += 1
            except PhotoError as error:
                assert str(path) in str(error)
            took = time.monotonic() - begun
            assert took < SLOW, took
            slowest = max(slowest, took)
            count["files"] += 1

        number = 0
        while time.monotonic() < until:
            seed(number)(one_round)()
            number += 1
    lines = [
        f"{machine()}.",
        f"`python benchmarks/fuzz.py --minutes {args.minutes}`",
        "",
        "| minutes | files | read | refused in a sentence | anything else | slowest, s |",
        "|---|---|---|---|---|---|",
        f"| {args.minutes} | {count['files']:,} | {count['read']:,} | {count['files'] - count['read']:,} | 0 "
        f"| {slowest:.1f} |",
    ]
    write_section(TABLE, HEADING, "Random damage", lines)


if __name__ == "__main__":
    sys.exit(run(main))
