"""Collect photos of one class, each with its author and license.

    python data/collect.py "calico cat" "calico kitten" --class calico --count 1500

Searches Flickr (with a key in FLICKR_API_KEY) or Openverse (without one) for freely licensed photos and puts them
into data/collected/<class>/, with attribution.csv. Ctrl-C stops it at any time; the same command resumes, and fetches
nothing twice.
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

from photo_tools.collection import Collection, FoundPhoto
from tutorial.cli import ProgressBar, TutorialError, echo, escape, parser, positive_int, project_path, run

try:
    from photo_tools.download import Downloader, RefusedError, UnavailableError, check_url, in_threads
    from photo_tools.search_apis import FLICKR_URL, OPENVERSE_URL, SPACING, Flickr, Openverse, in_turn
except ModuleNotFoundError as missing:
    install = 'run "make data-tools", or "python -m pip install -r requirements-data.txt"'
    print(f"error: collecting photos needs the package {missing.name}: {install}.", file=sys.stderr)
    sys.exit(2)

COUNT = 1500  # photos of the class: 1,000 for training, 300 for validation, and some that prune.py moves out
AT_A_TIME = 8  # simultaneous downloads; at most 4 of them from one host, see photo_tools/download.py
PHOTO_BYTES = 20_000_000  # of one file, at most: Flickr's 800-pixel photos have about 0.2 MB, but originals vary
GIVE_UP = 20  # photos in a row that could not be fetched: then it is the network, not the photos
LATER = "could not be fetched: the next run tries again"


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
    # A server that the reader names is trusted, and may be on this machine.
    web = Downloader(local_allowed=bool(args.api_url), spacing=SPACING)
    if name == "flickr":
        return Flickr(web, args.api_url or FLICKR_URL, args.api_key)
    if not args.source:
        echo("no Flickr key (FLICKR_API_KEY or --api-key): searching Openverse, which gives up to 240 photos a query")
    return Openverse(web, args.api_url or OPENVERSE_URL)


def collect(args: argparse.Namespace, photos: Collection) -> Counter[str]:
    """Search and fetch until there are ``args.count`` photos. Returns how many were left out, by reason."""
    source = choose_source(args)
    missing = threading.Semaphore(args.count - photos.count)  # never more at once than are still missing

    def new_photos() -> Iterator[FoundPhoto]:
        found = in_turn([source.search(query) for query in args.queries])
        seen = set()
        while missing.acquire():  # before the next page of the search, which counts against a limit
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
        except (RefusedError, UnavailableError) as error:  # one photo must not end the run
            return error

    left_out, failures = Counter(), 0
    progress = ProgressBar(f"photos of {args.class_name}", args.count, photos.count)
    try:
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
            progress.update(photos.count)
            if photos.count >= args.count:
                break
    finally:
        progress.close()
    return left_out


def main() -> int | None:
    """Collect one class."""
    p = parser(str(__doc__))
    add = p.add_argument
    key, data = os.environ.get("FLICKR_API_KEY", ""), project_path("data")
    add("queries", nargs="+", metavar="QUERY", help="what to search for; several are searched in turn")
    add("--class", dest="class_name", required=True, metavar="NAME", help="the class, and its folder's name")
    add("--count", type=positive_int, default=COUNT, metavar="N", help="photos wanted (default: %(default)s)")
    text = "photos go to DIR/collected/NAME/ (default: %(default)s)"
    add("--data", type=Path, default=data, metavar="DIR", help=text)
    add("--source", metavar="NAME", help="flickr or openverse (default: flickr if there is a key)")
    add("--api-key", default=key, metavar="KEY", help="Flickr's key (default: FLICKR_API_KEY)")
    add("--api-url", metavar="URL", help="use this server instead; local addresses are then allowed")
    args = p.parse_args()
    name = args.class_name
    if not re.fullmatch(r"\w([\w .-]*[\w-])?", name):
        raise TutorialError(f"--class {name!r} cannot be a folder's name: use letters, digits, - and _ (calico, say).")
    folder = args.data / "collected" / name
    photos = Collection(folder)
    before, left_out = photos.count, Counter()
    if photos.removed:
        echo(f"removed from {folder} earlier, so not fetched again: {photos.removed}")
    try:
        if photos.count < args.count:
            left_out = collect(args, photos)
    except TutorialError as error:
        kept = f" {photos.count} photos are kept, and the same command resumes." if photos.count else ""
        raise TutorialError(f"{error}{kept}") from None
    except KeyboardInterrupt:
        photos = Collection(folder)  # counts again, wherever in the middle this came
        print(escape(f"stopped: {photos.count} photos are in {folder}; the same command resumes."), file=sys.stderr)
        return 130
    for reason, count in left_out.most_common():
        echo(f"left out: {count} ({reason})")
    if not photos.count:
        raise TutorialError(f"nothing was found for {' or '.join(map(repr, args.queries))}: try other words.")
    echo(f"{photos.count} photos are in {folder}, {photos.count - before} of them new; attribution.csv has the authors")
    if photos.count < args.count:
        echo(f"fewer than {args.count}, and all that these queries find: add another query")
    if photos.without_row:
        echo(f"without a row in attribution.csv, so of unknown license: {len(photos.without_row)}")
    echo(f"next: python data/prune.py --data {shlex.quote(str(args.data))}")
    return None


if __name__ == "__main__":
    sys.exit(run(main))
