"""Collect photos of one class, each with its author and license.

    python data/collect.py "calico cat" "calico kitten" --class calico --count 1500

Searches Flickr (with a key in FLICKR_API_KEY) or Openverse (without one) for freely licensed photos and puts them
into data/collected/<class>/, with attribution.csv. Ctrl-C stops it at any time; the same command resumes and downloads
no photo twice.
"""

import argparse
import os
import re
import sys
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import chain
from pathlib import Path

from photo_tools import INSTALL
from photo_tools.collection import Collection, FoundPhoto
from photo_tools.photo_folders import next_command
from tutorial.cli import ProgressBar, TutorialError, echo, file_path, parser, positive_int, project_path, run
from tutorial.files import lock

try:
    from photo_tools.download import LONGEST_WAIT, Downloader, RefusedError, UnavailableError, check_url
    from photo_tools.search_apis import FLICKR_URL, OPENVERSE_URL, Flickr, Openverse, in_turn
except ModuleNotFoundError as missing:
    print(f"error: collecting photos needs the package {missing.name}: {INSTALL}.", file=sys.stderr)
    sys.exit(2)

COUNT = 1500  # photos of the class: 1,000 for training, 300 for validation, and some that prune.py moves out
AT_A_TIME = 4  # simultaneous downloads
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
    web = Downloader(local_allowed=bool(args.api_url))
    if name == "flickr":
        return Flickr(web, args.api_url or FLICKR_URL, args.api_key)
    if not args.source:
        echo("no Flickr key (FLICKR_API_KEY or --api-key): searching Openverse, which gives up to 240 photos a query")
    return Openverse(web, args.api_url or OPENVERSE_URL)


def collect(args: argparse.Namespace, folder: Path) -> Counter[str]:
    """Search and fetch until there are ``args.count`` photos. Returns how many were left out, by reason."""
    source = choose_source(args)
    found = in_turn([source.search(query) for query in args.queries])
    first = next(found, None)
    if not first:  # and nothing is written
        return Counter()
    found = chain([first], found)
    lock(folder)
    photos = Collection(folder)

    def fetch(photo: FoundPhoto) -> bytes:
        if photo.key in photos.without_row:  # fetched before a crash: only its row is missing
            return photos.without_row[photo.key].read_bytes()
        return source.web.get_first(photo.urls, PHOTO_BYTES)

    seen, left_out, failures, search_error = set(), Counter(), 0, None
    running: dict[Future[bytes], FoundPhoto] = {}
    progress = ProgressBar(f"photos of {args.class_name}", args.count, photos.count)
    pool = ThreadPoolExecutor(AT_A_TIME)
    while True:
        # No more at once than are still missing; and no page of the search, which counts against a limit, too early
        while len(running) < min(AT_A_TIME, args.count - photos.count):
            try:
                photo = next((photo for photo in found if photo.key not in seen and not photos.knows(photo)), None)
            except TutorialError as error:  # the search's; what is being fetched is kept first
                photo, found, search_error = None, iter(()), error
            if photo is None:
                break
            seen.add(photo.key)
            running[pool.submit(fetch, photo)] = photo
        if not running:
            break
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            photo = running.pop(future)
            try:
                refused = photos.keep(photo, future.result())
            except RefusedError as error:
                refused = str(error)
            except UnavailableError as error:  # one photo must not end the run
                failures += 1
                left_out[LATER] += 1
                if failures == GIVE_UP or (error.retry_after or 0) > LONGEST_WAIT:
                    raise TutorialError(
                        f"photos cannot be fetched ({error}): check the network, or try again later."
                    ) from None
                continue
            failures = 0
            if refused:
                photos.refuse(photo, refused)
                left_out[refused] += 1
            progress.update(photos.count)
    progress.close()
    if search_error:
        raise search_error
    return left_out


def main() -> None:
    """Collect one class."""
    p = parser(__doc__)
    add = p.add_argument
    key, data = os.environ.get("FLICKR_API_KEY", ""), project_path("data")
    add("queries", nargs="+", metavar="QUERY", help="what to search for; several are searched in turn")
    add("--class", dest="class_name", required=True, metavar="NAME", help="the class, and its folder's name")
    add("--count", type=positive_int, default=COUNT, metavar="N", help="photos wanted (default: %(default)s)")
    text = "photos go to DIR/collected/NAME/ (default: %(default)s)"
    add("--data", type=file_path, default=data, metavar="DIR", help=text)
    add("--source", metavar="NAME", help="flickr or openverse (default: flickr if there is a key)")
    add("--api-key", default=key, metavar="KEY", help="Flickr's key (default: FLICKR_API_KEY)")
    add("--api-url", metavar="URL", help="use this server instead; local addresses are then allowed")
    args = p.parse_args()
    name = args.class_name
    if not re.fullmatch(r"\w([\w .-]*[\w-])?", name):
        raise TutorialError(f"--class {name!r} cannot be a folder's name: use letters, digits, - and _, as in calico.")
    folder = args.data / "collected" / name
    photos = Collection(folder)
    before, left_out = photos.count, Counter()
    if photos.removed:
        echo(f"photos removed from {folder} earlier, not downloaded again: {photos.removed}")
    try:
        if photos.count < args.count:
            left_out = collect(args, folder)
            photos = Collection(folder)
    except TutorialError as error:
        count = Collection(folder).count
        kept = f" {count} photos are kept, and the same command resumes." if count else ""
        raise TutorialError(f"{error}{kept}") from None
    for reason, count in left_out.most_common():
        echo(f"left out: {count} ({reason})")
    if not photos.count:
        raise TutorialError(f"nothing was found for {' or '.join(map(repr, args.queries))}: try other words.")
    echo(f"{photos.count} photos are in {folder}, {photos.count - before} of them new; attribution.csv has the authors")
    if photos.count < args.count:
        echo(f"that is fewer than {args.count}, but these queries find no more: add another query")
    if photos.without_row:
        echo(f"photos without a row in attribution.csv, whose license is unknown: {len(photos.without_row)}")
    echo(f"next: {next_command('data/prune.py', args.data)}")


if __name__ == "__main__":
    sys.exit(run(main, resumable=True))
