"""Where photos with a licence are found: Flickr and Openverse, each a search that yields one photo after another.

Limits and field names are those of https://www.flickr.com/services/api/flickr.photos.search.html and
https://api.openverse.org/v1/.
"""

import json
import re
from collections.abc import Callable, Iterator

from tutorial.command_line import TutorialError, duration
from tutorial.dataset.collection import FoundPhoto
from tutorial.dataset.download import Downloader, RefusedError, UnavailableError

FLICKR_URL = "https://api.flickr.com/services/rest/"
FLICKR_PAGE = 500  # photos, the most Flickr gives
FLICKR_DEPTH = 4000  # photos a query; beyond that Flickr repeats itself
FLICKR_SIZES = ("url_c", "url_z", "url_m")  # 800, 640 and 500 pixels on the longer side; small photos lack the first
OPENVERSE_URL = "https://api.openverse.org/v1/images/"
OPENVERSE_PAGE = 20  # photos, the most without a registration; more is answered with 401
OPENVERSE_DEPTH = 240  # photos a query, with or without a registration
ANSWER_BYTES = 10_000_000  # a page of results is well below 1 MB
# Seconds between two searches. Flickr's guide: 3600 an hour. Openverse without a registration: 20 a minute (and 200
# a day), by its own X-RateLimit headers.
SPACING = {"api.flickr.com": 1.0, "api.openverse.org": 3.0}


def _key(source: str, name: object) -> str | None:
    """A file name from a photo's id; None for an id that is not one, which a file name must not be made of."""
    return f"{source}-{name}" if re.fullmatch(r"[A-Za-z0-9-]{1,64}", str(name)) else None


def _ask(web: Downloader, service: str, url: str, params: dict[str, str | int]) -> dict:
    """One JSON object from a service. Raises TutorialError with what the reader can do about it."""
    try:
        answer = json.loads(web.get(url, ANSWER_BYTES, params))
    except RefusedError as error:
        raise TutorialError(
            f"{service} could not be asked ({error}): check --api-url, or try another --source."
        ) from None
    except UnavailableError as error:
        if error.retry_after is not None:
            wait = duration(error.retry_after)
            raise TutorialError(f"{service} allows no more searches for now: try again in {wait}.") from None
        raise TutorialError(f"{service} does not answer ({error}): check the network, then run this again.") from None
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise TutorialError(f"{service} answered with something that is not JSON: check --api-url, or try again later.")
    return answer


def _understood(service: str, answer: dict, read: Callable[[dict], list]) -> list:
    """What ``read`` makes of an answer. Raises TutorialError if the fields it needs are not there."""
    try:
        return read(answer)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise TutorialError(
            f"{service} answered in a form that is new: look for a newer version of this tutorial."
        ) from None


class Flickr:
    """Flickr's search for photos under a Creative Commons licence or in the public domain.

    Args:
        web: asks the server.
        url: the REST end point.
        api_key: free, from https://www.flickr.com/services/apps/create/.
    """

    def __init__(self, web: Downloader, url: str, api_key: str) -> None:
        self.web, self.url, self.api_key = web, url, api_key
        self._licences: dict[str, dict] = {}

    def _call(self, method: str, **params: str | int) -> dict:
        params |= {"method": method, "api_key": self.api_key, "format": "json", "nojsoncallback": 1}
        answer = _ask(self.web, "Flickr", self.url, params)
        if answer.get("stat") == "ok":
            return answer
        if str(answer.get("code")) == "100":
            raise TutorialError("Flickr does not know this API key: check FLICKR_API_KEY or --api-key.")
        raise TutorialError(f"Flickr could not search ({answer.get('message', 'no reason given')}): try again later.")

    def licences(self) -> dict[str, dict]:
        """Flickr's free licences by their ids, each with ``name`` and ``url``.

        Asked for, not listed here: Flickr added the 4.0 licences under new ids in June 2025.
        """
        if not self._licences:
            answer = self._call("flickr.photos.licenses.getInfo")
            every = _understood(
                "Flickr", answer, lambda said: [(str(one["id"]), one) for one in said["licenses"]["license"]]
            )
            self._licences = {i: one for i, one in every if "creativecommons.org/" in str(one.get("url"))}
        return self._licences

    def search(self, query: str) -> Iterator[FoundPhoto]:
        """The photos that Flickr finds for ``query``, most relevant first. Raises TutorialError."""
        pages = FLICKR_DEPTH // FLICKR_PAGE
        page = 1
        while page <= pages:
            answer = self._call(
                "flickr.photos.search",
                text=query,
                license=",".join(self.licences()),
                media="photos",
                content_type=1,  # photos, not screenshots and drawings
                safe_search=1,
                sort="relevance",
                extras=",".join(("license", "owner_name", *FLICKR_SIZES)),
                per_page=FLICKR_PAGE,
                page=page,
            )
            yield from _understood(
                "Flickr",
                answer,
                lambda said: [p for one in said["photos"]["photo"] if (p := self._photo(one, query))],
            )
            pages = min(pages, _understood("Flickr", answer, lambda said: [int(said["photos"]["pages"])])[0])
            page += 1

    def _photo(self, one: dict, query: str) -> FoundPhoto | None:
        key, licence = _key("flickr", one["id"]), self.licences().get(str(one.get("license")))
        urls = tuple(str(one[size]) for size in FLICKR_SIZES if one.get(size))
        if not (key and licence and urls):
            return None
        page = f"https://www.flickr.com/photos/{one['owner']}/{one['id']}"
        author = str(one.get("ownername") or one["owner"])
        return FoundPhoto(key, urls, page, author, str(licence["name"]), str(licence["url"]), query)


class Openverse:
    """Openverse's search over many collections of freely licensed pictures, without a key.

    Args:
        web: asks the server.
        url: the end point for images.
    """

    def __init__(self, web: Downloader, url: str) -> None:
        self.web, self.url = web, url

    def search(self, query: str) -> Iterator[FoundPhoto]:
        """The photos that Openverse finds for ``query``, most relevant first. Raises TutorialError."""
        pages = OPENVERSE_DEPTH // OPENVERSE_PAGE
        page = 1
        while page <= pages:
            answer = _ask(self.web, "Openverse", self.url, {"q": query, "page": page, "page_size": OPENVERSE_PAGE})
            yield from _understood(
                "Openverse", answer, lambda said: [p for one in said["results"] if (p := self._photo(one, query))]
            )
            pages = min(pages, _understood("Openverse", answer, lambda said: [int(said["page_count"])])[0])
            page += 1

    def _photo(self, one: dict, query: str) -> FoundPhoto | None:
        key = _key("openverse", one["id"])
        if not (key and one.get("url") and one.get("license")):
            return None
        name, version = str(one["license"]), str(one.get("license_version") or "")
        name = {"cc0": "CC0", "pdm": "Public Domain Mark"}.get(name, f"CC {name.upper()}")
        return FoundPhoto(
            key,
            (str(one["url"]),),
            str(one.get("foreign_landing_url") or ""),
            str(one.get("creator") or "unknown"),
            f"{name} {version}".strip(),
            str(one.get("license_url") or ""),
            query,
        )


def in_turn(searches: list[Iterator[FoundPhoto]]) -> Iterator[FoundPhoto]:
    """One photo from each search, then the next from each, until all have ended."""
    while searches:
        for search in list(searches):
            photo = next(search, None)
            if photo is None:
                searches.remove(search)
            else:
                yield photo
