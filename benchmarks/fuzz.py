"""Fuzz the photo loader and the weights files: what is broken must become a sentence, and soon.

    python benchmarks/fuzz.py --minutes 10         photos: each becomes pixels or a PhotoError
    python benchmarks/fuzz.py --weights            each file in weights/pretrained, byte by byte

Hypothesis generates a photo's damage (format, truncation, changed and inserted bytes) and, when something goes wrong,
searches the smallest file that does it and prints it; tests/test_bad_photos.py keeps such files.
"""

import random
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from report import FORMATS, command, encoded, machine, picture, preamble, write_section
from tutorial.cli import TutorialError, parser, positive_int, project_path, run
from tutorial.images import PhotoError, read_photo
from tutorial.model_file import WeightsFile
from tutorial.recipes import pretrained_dir

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

TABLE = project_path("benchmarks/fuzz.md")
HEADING = "# Photos and weights files, fuzzed\n\nWritten by `benchmarks/fuzz.py`.\n"
CHANGED, CUT, HARMFUL = 10_000, 2_000, 500  # weights files of each kind
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


def fuzz_weights() -> None:
    """Change and cut the shipped weights files: by accident, and with the checksum that a forger would give them."""
    rng = random.Random(0)
    rows = []
    for source in sorted(pretrained_dir().glob("*.h5")):
        whole, read, slowest = source.read_bytes(), dict.fromkeys(("changed", "cut", "harmful"), 0), 0.0
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, source.name)
            for kind, count in zip(read, (CHANGED, CUT, HARMFUL), strict=True):
                for _ in range(count):
                    content = bytearray(whole)
                    place = rng.randrange(len(whole))
                    if kind == "harmful":  # in what describes the arrays
                        place = rng.randrange(-16_000, 16_000)
                    content[place] ^= rng.randrange(1, 256)
                    if kind == "harmful":
                        content[:64] = sha256(memoryview(content)[65:]).hexdigest().encode()
                    path.write_bytes(content[:place] if kind == "cut" else content)
                    begun = time.monotonic()
                    try:
                        assert WeightsFile(path).arrays
                        read[kind] += 1
                    except TutorialError as error:
                        assert str(path) in str(error)
                    slowest = max(slowest, time.monotonic() - begun)
        counts = f"{CHANGED:,}, {read['changed']} | {CUT:,}, {read['cut']} | {HARMFUL:,}, {read['harmful']}"
        rows.append(f"| {source.name} | {counts} | 0 | {slowest:.1f} |")
    peak = ""
    if sys.platform == "linux":
        import resource

        megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
        peak = f" The process that reads HDF5 took at most {megabytes:,.0f} MB."
    lines = [
        f"{machine()}.",
        f"{command()}: files tried, and how many were read; the others got a sentence.{peak}",
        "",
        "| file | one byte changed | cut off | changed, with its checksum | anything else | slowest, s |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    write_section(TABLE, HEADING, "Weights files", lines)


def main() -> None:
    """Fuzz until the time is over."""
    p = parser(__doc__)
    p.add_argument("--minutes", type=positive_int, metavar="N", default=10, help="default: %(default)s")
    p.add_argument("--weights", action="store_true", help="weights files instead of photos")
    args = p.parse_args()
    if args.weights:
        fuzz_weights()
        return
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
        *preamble(),
        "| minutes | files | read | refused in a sentence | anything else | slowest, s |",
        "|---|---|---|---|---|---|",
        f"| {args.minutes} | {count['files']:,} | {count['read']:,} | {count['files'] - count['read']:,} | 0 "
        f"| {slowest:.1f} |",
    ]
    write_section(TABLE, HEADING, "Random damage", lines)


if __name__ == "__main__":
    sys.exit(run(main))
