"""Download photos of cats and dogs: the blog post's 1,000 + 400 of each class, or Google's 1,000 + 500.

    python data/cats_and_dogs.py                          Google's copy of 3,000 photos, 69 MB: 1,000 and 500 of each
    python data/cats_and_dogs.py --source microsoft       all 25,000, 787 MB, and of these the blog post's
    python data/cats_and_dogs.py --zip train.zip          a file that you have: one of those two, or Kaggle's
    python data/cats_and_dogs.py --zip train.zip --train 5000 --validation 1000       others, at random

The blog post trained on Kaggle's cat.0 to cat.999 and dog.0 to dog.999 and validated on 1000 to 1399 of each; it
numbers the dogs from 12500, after the cats. Microsoft's numbers are taken to be Kaggle's. Files that
are no photos are left out and counted. Run again, it replaces what it made in data/cats_and_dogs/, and nothing else.
"""

import hashlib
import random
import re
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from photo_tools import require_package
from photo_tools.install_split import install_split, refuse_foreign_files
from photo_tools.photo_folders import TRAIN, VALIDATION, next_command, write_csv
from tutorial.cli import (
    ProgressBar,
    TutorialError,
    echo,
    file_path,
    parser,
    positive_int,
    project_path,
    run,
    seed_number,
)
from tutorial.files import atomic_write
from tutorial.images import PhotoError, decode_photo

MICROSOFT = "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
SOURCES = {  # the file, and its bytes where they are known; no host publishes a SHA-256
    "google": ("https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip", 68_606_236),
    "microsoft": (f"{MICROSOFT}kagglecatsanddogs_5340.zip", None),
}
TIMEOUT = 30  # seconds without a byte
LAYOUTS = [  # names in the zip: Google's, Kaggle's, Microsoft's
    r"(?:.*/)?(?P<split>train|validation)/(?:cats|dogs)/(?P<animal>cat|dog)\.(?P<number>\d{1,6})\.jpg",
    r"(?:.*/)?train/(?P<animal>cat|dog)\.(?P<number>\d{1,6})\.jpg",
    r"(?:.*/)?PetImages/(?P<animal>Cat|Dog)/(?P<number>\d{1,6})\.jpg",
]
NAMED = 10  # files that were left out, by their names
BLOG = {TRAIN: range(1000), VALIDATION: range(1000, 1400)}  # the numbers of the blog post's photos
MAX_PHOTO, MAX_PHOTOS = 20_000_000, 4_000_000_000  # bytes unpacked: of one and of all
LICENSE = (
    "The photos are those of Asirra, which Petfinder.com gave to Microsoft for research: they are not part of this "
    "project, and neither yours nor ours to publish."
)
Numbered = list[tuple[int, zipfile.ZipInfo]]  # photos in the zip by number


class Progress:
    """A progress bar as pooch wants it."""

    total = done = 0
    bar: ProgressBar | None = None

    def update(self, size: int) -> None:
        """So many bytes more."""
        self.bar = self.bar or ProgressBar("MB", self.total // 1_000_000)
        self.done = min(self.done + size, self.total)
        self.bar.update(self.done // 1_000_000)

    def reset(self) -> None:
        """None so far."""
        self.done = 0

    def close(self) -> None:
        """Remove it."""
        if self.bar:
            self.bar.close()


def fetch(source: str, folder: Path) -> Path:
    """The zip of a source in a folder; downloaded if it is not there.

    Raises:
        TutorialError: it cannot be downloaded, or does not have the size that it should have.
    """
    require_package("pooch", "pooch")
    import pooch
    import requests

    url, size = SOURCES[source]
    path = folder / url.rsplit("/", 1)[1]
    if not path.exists():
        echo(f"downloading {url}")
        pooch.get_logger().setLevel("ERROR")
        # With no password from ~/.netrc; into a temporary file, which pooch renames when it is complete
        downloader = pooch.HTTPDownloader(Progress(), 2**16, timeout=TIMEOUT, auth=lambda request: request)
        try:
            pooch.retrieve(url, None, path.name, folder, downloader=downloader)
        except (requests.RequestException, ValueError) as error:  # a length that is no number
            other = next(one for one in SOURCES if one != source)
            raise TutorialError(
                f"{url} could not be downloaded ({error}): run this again, or use --source {other}, or download a copy "
                "with a browser and name it with --zip."
            ) from None
    if size and (found := path.stat().st_size) != size:
        path.unlink()
        raise TutorialError(f"{path} had {found:,} bytes and not {size:,}, and was removed: run this again.")
    return path


def check_digest(path: Path, digest: str) -> None:
    """Keep the SHA-256 of a download, ``digest``, beside it, so that a later run notices a change.

    Raises:
        TutorialError: the file is not what it was.
    """
    kept, line = path.with_suffix(".sha256"), f"{digest}  {path.name}\n"
    if not kept.exists():
        with atomic_write(kept) as temporary:
            temporary.write_text(line)
    elif kept.read_text() != line:
        raise TutorialError(
            f"{path} has changed since it was downloaded: remove it and {kept.name}, and run this again."
        )


def photos_in(archive: zipfile.ZipFile, path: Path) -> dict[tuple[str | None, str], Numbered]:
    """The photos in the zip, by their split (Google's; otherwise None) and animal, and in order.

    Raises:
        TutorialError: there are none.
    """
    for layout in LAYOUTS:
        found: dict[tuple[str | None, str], Numbered] = {}
        for member in archive.infolist():
            if match := re.fullmatch(layout, member.filename):
                key = match.groupdict().get("split"), match["animal"].lower()
                found.setdefault(key, []).append((int(match["number"]), member))
        if found:
            return {key: sorted(photos, key=lambda photo: photo[0]) for key, photos in found.items()}
    inner = next((name for name in archive.namelist() if name.endswith("train.zip")), None)
    raise TutorialError(
        f"{path} has no photos called train/cat.0.jpg, train/cats/cat.0.jpg or PetImages/Cat/0.jpg: "
        + (f"unpack it, and name the {inner} in it with --zip." if inner else "name another file with --zip.")
    )


def candidates(
    photos: dict[tuple[str | None, str], Numbered], at_random: bool, seed: int
) -> dict[tuple[str, str], Numbered]:
    """The photos of each split and animal, in the order in which they are taken."""
    found: dict[tuple[str, str], Numbered] = {}
    for (split, animal), numbered in photos.items():
        if at_random:
            random.Random(seed).shuffle(numbered)
        if split:
            found[split, animal] = numbered
        else:  # at random, validation takes from the same photos what is left
            found |= {(one, animal): [(n, m) for n, m in numbered if at_random or n in BLOG[one]] for one in BLOG}
    return found


def read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> bytes:
    """A file in the zip; zipfile checks its CRC.

    Raises:
        TutorialError: it is damaged, encrypted, or larger than a photo.
    """
    try:
        if member.file_size > MAX_PHOTO:
            raise RuntimeError(f"{member.filename} would have {member.file_size:,} bytes")
        return archive.read(member)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, EOFError, zlib.error) as error:
        raise TutorialError(
            f"{path} is damaged or encrypted ({error}): remove it and run this again, or name another with --zip."
        ) from None


def unpack(
    archive: zipfile.ZipFile, path: Path, wanted: dict[tuple[str, str], Numbered], counts: dict[str, int] | None
) -> Iterator[tuple[dict[str, str], bytes]]:
    """The row of split.csv and the content of each photo; files that are no photos are left out and counted.

    Args:
        archive: the zip, from ``path``.
        path: of the zip.
        wanted: from :func:`candidates`.
        counts: photos of each animal by split; all of them without.

    Raises:
        TutorialError: a file is damaged, or there are too few photos.
    """
    used, size, left_out = set(), 0, 0
    for (split, animal), numbered in wanted.items():
        found, enough = 0, counts[split] if counts else max(1, len(numbered))
        for number, member in numbered:
            if found == enough:
                break
            if member.filename in used:
                continue
            used.add(member.filename)
            content = read(archive, member, path)
            size += len(content)
            if size > MAX_PHOTOS:
                raise TutorialError(f"{path} unpacks to more than {MAX_PHOTOS:,} bytes: name another file with --zip.")
            try:
                decode_photo(content, member.filename)
            except PhotoError as error:
                left_out += 1
                if left_out <= NAMED:
                    echo(f"left out: {error}")
                continue
            found += 1
            file, digest = f"{split}/{animal}s/{animal}.{number}.jpg", hashlib.sha256(content).hexdigest()
            yield (
                {"file": file, "split": split, "class": f"{animal}s", "zip": member.filename, "sha256": digest},
                content,
            )
        if found < (enough if counts else 1):
            raise TutorialError(f"{path} has {found} {animal}s for {split}, not {enough}: ask for fewer, or use --zip.")
    echo(f"{left_out} files are no photos and were left out" if left_out else "every file is a photo")


def main() -> None:
    """Download, unpack, install."""
    p = parser(__doc__)
    add = p.add_argument
    add("--source", choices=SOURCES, default="google", help="to download from (default: %(default)s)")
    add("--zip", type=file_path, metavar="FILE", help="use this file, and download nothing")
    add("--train", type=positive_int, metavar="N", help="training photos of each class, at random (default: as above)")
    add("--validation", type=positive_int, metavar="N", help="validation photos of each class, at random")
    add("--seed", type=seed_number, metavar="N", default=0, help="same seed, same photos (default: %(default)s)")
    folder = project_path("data/cats_and_dogs")
    add("--data", type=file_path, metavar="DIR", default=folder, help="folder to make (default: %(default)s)")
    args = p.parse_args()
    made = refuse_foreign_files(args.data)
    path = args.zip or fetch(args.source, args.data / "download")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise TutorialError(f"{path} cannot be read as a zip file ({error}): remove it, or name another.") from None
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    echo(f"{path}: SHA-256 {digest}")
    if not args.zip:
        check_digest(path, digest)
    counts = None
    if args.train or args.validation:
        counts = {TRAIN: args.train or len(BLOG[TRAIN]), VALIDATION: args.validation or len(BLOG[VALIDATION])}
    wanted = candidates(photos_in(archive, path), counts is not None, args.seed)
    rows = []

    def build(new: Path) -> None:
        progress = ProgressBar("unpacking", 2 * sum(counts.values()) if counts else sum(map(len, wanted.values())))
        for row, content in unpack(archive, path, wanted, counts):
            (new / row["file"]).parent.mkdir(parents=True, exist_ok=True)
            (new / row["file"]).write_bytes(content)
            rows.append(row)
            progress.update(len(rows))
        progress.close()
        write_csv(new / "split.csv", list(rows[0]), rows)

    args.data.mkdir(parents=True, exist_ok=True)
    install_split(args.data, build, made)
    for name, count in Counter(row["file"].rpartition("/")[0] for row in rows).items():
        echo(f"{args.data / name}: {count} photos")
    echo(LICENSE)
    echo(f"next: {next_command('fine_tuning_VGG16_pt1.py', args.data)}")


if __name__ == "__main__":
    sys.exit(run(main))
