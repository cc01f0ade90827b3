"""Collect photos of one class, each with its author and licence.

    python data/collect.py "calico cat" "calico kitten" --class calico --count 1500

Searches Flickr (with a key in FLICKR_API_KEY) or Openverse (without one) for freely licensed photos and puts them
into data/collected/<class>/, with attribution.csv beside them. Ctrl-C stops it at any time; the same command
continues, and fetches nothing twice.
"""

import argparse
import os
import re
import shlex
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that "python data/collect.py" finds tutorial/
from tutorial.command_line import TutorialError, parser, positive_int, project_path, run
from tutorial.dataset.collection import Collection, FoundPhoto

try:
    from tqdm import tqdm

    from tutorial.dataset.download import Downloader, RefusedError, UnavailableError, check_url, in_threads
    from tutorial.dataset.photo_sources import FLICKR_URL, OPENVERSE_URL, SPACING, Flickr, Openverse, in_turn
except ModuleNotFoundError as missing:
    install = 'run "make data-tools", or "python -m pip install -r requirements-data.txt"'
    print(f"error: collecting photos needs the package {missing.name}: {install}.", file=sys.stderr)
    sys.exit(2)

COUNT = 1500  # photos a class: 1,000 to train on, 300 to validate with, and some for prune.py to sort out
AT_A_TIME = 8  # downloads under way; tutorial/dataset/download.py lets at most 4 of them go to one host
PHOTO_BYTES = 20_000_000  # no larger file is read: Flickr's 800-pixel photos have about 0.2 MB, but originals vary
GIVE_UP = 20  # photos in a row that could not be fetched: then it is the network, not the photos
LATER = "could not be had this time: the next run tries again"


def choose_source(args: argparse.Namespace) -> Flickr | Openverse:
    """The search to use. Raises TutorialError if there is none of that name, or no key for it."""
    name = args.source or ("flickr" if args.api_key else "openverse")
    if name not in ("flickr", "openverse"):
        raise TutorialError(f"there is no source {name!r}: --source takes flickr or openverse.")
    if name == "flickr" and not args.api_key:
        raise TutorialError("Flickr needs a key: set FLICKR_API_KEY or --api-key, or use --source openverse.")
    if args.api_url:
        try:
            check_url(args.api_url, local_allowed=True)
        except RefusedError:
            raise TutorialError(
                f"--api-url {args.api_url} is not a web address: begin it with http:// or https://."
            ) from None
    # Who names a server trusts it, and may run it on this machine.
    web = Downloader(local_allowed=bool(args.api_url), spacing=SPACING)
    if name == "flickr":
        return Flickr(web, args.api_url or FLICKR_URL, args.api_key)
    if not args.source:
        print("no Flickr key (FLICKR_API_KEY or --api-key), so Openverse is searched: no key, 240 photos a query")
    return Openverse(web, args.api_url or OPENVERSE_URL)


def collect(args: argparse.Namespace, photos: Collection) -> Counter[str]:
    """Search, fetch and keep until there are ``args.count`` photos. Returns what was left out, by reason."""
    source = choose_source(args)
    missing = threading.Semaphore(args.count - photos.count)  # never more under way than are still missing

    def new_photos() -> Iterator[FoundPhoto]:
        found = in_turn([source.search(query) for query in args.queries])
        seen = set()
        while missing.acquire():  # before the search goes on: every page of it counts against a limit
            photo = next((photo for photo in found if photo.key not in seen and not photos.knows(photo)), None)
            if photo is None:
                return
            seen.add(photo.key)
            yield photo

    def fetch(photo: FoundPhoto) -> bytes | Exception:
        if photo.key in photos.without_row:  # fetched before a crash: only its row is missing
            return photos.without_row[photo.key].read_bytes()
        try:
            return source.web.get_first(photo.urls, PHOTO_BYTES)
        except (RefusedError, UnavailableError) as error:  # one photo's trouble must not end the run
            return error

    left_out, failures = Counter(), 0
    bar = tqdm(total=args.count, initial=photos.count, desc=args.class_name, unit="photo", ascii=True, disable=None)
    with bar:
        for photo, content in in_threads(fetch, new_photos(), AT_A_TIME):
            if isinstance(content, UnavailableError):
                failures += 1
                if failures == GIVE_UP:
                    raise TutorialError(
                        f"{GIVE_UP} photos in a row could not be fetched ({content}): check the network."
                    )
                left_out[LATER] += 1
                missing.release()
                continue
            failures = 0
            refused = str(content) if isinstance(content, RefusedError) else photos.keep(photo, content)
            if refused:
                photos.refuse(photo, refused)
                left_out[refused] += 1
                missing.release()
                continue
            bar.update()
            if photos.count >= args.count:
                break
    return left_out


def main() -> int | None:
    """Collect one class."""
    p = parser(
        __doc__.split("\n")[0], 'python data/collect.py "calico cat" "calico kitten" --class calico --count 1500'
    )
    key, data = os.environ.get("FLICKR_API_KEY", ""), project_path("data")
    p.add_argument("queries", nargs="+", metavar="QUERY", help="what to search for; several are searched in turn")
    p.add_argument("--class", dest="class_name", required=True, metavar="NAME", help="the class, and its folder's name")
    p.add_argument(
        "--count", type=positive_int, default=COUNT, metavar="N", help="photos wanted (default: %(default)s)"
    )
    p.add_argument(
        "--data", type=Path, default=data, metavar="DIR", help="photos go to DIR/collected/NAME/ (default: %(default)s)"
    )
    p.add_argument("--source", metavar="NAME", help="flickr or openverse (default: flickr if there is a key)")
    p.add_argument("--api-key", default=key, metavar="KEY", help="Flickr's key (default: FLICKR_API_KEY)")
    p.add_argument("--api-url", metavar="URL", help="ask this server instead; local addresses are then allowed")
    args = p.parse_args()
    name = args.class_name
    if not re.fullmatch(r"\w([\w .-]*[\w-])?", name):
        raise TutorialError(f"--class {name!r} cannot be a folder's name: use letters, digits, - and _ (calico, say).")
    folder = args.data / "collected" / name
    photos = Collection(folder)
    before, left_out = photos.count, Counter()
    if photos.removed:
        print(f"removed from {folder} earlier, so not fetched again: {photos.removed}")
    try:
        if photos.count < args.count:
            left_out = collect(args, photos)
    except TutorialError as error:
        kept = f" {photos.count} photos are kept, and the same command continues." if photos.count else ""
        raise TutorialError(f"{error}{kept}") from None
    except KeyboardInterrupt:
        photos = Collection(folder)  # counts again and sweeps up, wherever in the middle this came
        print(f"stopped: {photos.count} photos are in {folder}, and the same command continues.", file=sys.stderr)
        return 130
    for reason, count in left_out.most_common():
        print(f"left out: {count} ({reason})")
    if not photos.count:
        raise TutorialError(f"nothing was found for {' or '.join(map(repr, args.queries))}: try other words.")
    print(f"{photos.count} photos are in {folder}, {photos.count - before} of them new; attribution.csv says whose")
    if photos.count < args.count:
        print(f"that is fewer than the {args.count} asked for, and all that these queries find: add another query")
    if photos.without_row:
        print(f"without a row in attribution.csv, so of unknown licence: {len(photos.without_row)}")
    print(f"next: python data/prune.py --data {shlex.quote(str(args.data))}")
    return None


if __name__ == "__main__":
    sys.exit(run(main))
