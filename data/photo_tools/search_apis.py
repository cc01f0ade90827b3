"""Search APIs for freely licensed photos: Flickr and Openverse, each a search that yields one photo after another.

Limits and field names: https://www.flickr.com/services/api/flickr.photos.search.html and
https://api.openverse.org/v1/.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from photo_tools.collection import LONGEST, FoundPhoto
from photo_tools.download import Downloader, RefusedError, UnavailableError
from tutorial.cli import TutorialError, duration

FLICKR_URL = "https://api.flickr.com/services/rest/"
FLICKR_SIZES = ("url_c", "url_z", "url_m")  # 800, 640 and 500 pixels on the longer side; small photos lack the first
OPENVERSE_URL = "https://api.openverse.org/v1/images/"
RESPONSE_BYTES = 10_000_000  # a page of results is well below 1 MB


class SearchAPI:
    """A service's search, page by page.

    Subclasses have ``_page``, one page of results and how many there are, and ``_photo``, one result, or None if it
    lacks something.

    Args:
        web: sends the requests.
        url: the service's end point.
    """

    service: str
    own_url: str
    spacing: float  # seconds between two searches
    page_size: int  # photos, the most the service returns in one response
    depth: int  # photos per query, the most the service returns in all

    def __init__(self, web: Downloader, url: str) -> None:
        self.web, self.url, self.last = web, url, 0.0

    def search(self, query: str) -> Iterator[FoundPhoto]:
        """The photos found for ``query``, most relevant first. Raises TutorialError."""
        page, pages = 1, self.depth // self.page_size
        while page <= pages:
            results, available = self._page(query, page)
            with self._known_form():
                photos = [photo for one in results if (photo := self._photo(one, query))]
            for photo in photos:
                if max(map(len, (*photo.urls, photo.source_page, photo.license_url))) <= LONGEST:
                    yield photo
            page, pages = page + 1, min(pages, available)

    def _key(self, name: object) -> str | None:
        """A file name from a photo's id; None for an id that cannot be part of one."""
        return f"{self.service.lower()}-{name}" if re.fullmatch(r"[A-Za-z0-9-]{1,64}", str(name)) else None

    def _get(self, params: dict[str, str | int]) -> dict:
        """One JSON object from the service. Raises TutorialError with the remedy."""
        if self.url == self.own_url:
            time.sleep(max(0, self.last + self.spacing - time.monotonic()))
        self.last = time.monotonic()
        try:
            response = json.loads(self.web.get(self.url, RESPONSE_BYTES, params))
        except RefusedError as error:
            raise TutorialError(
                f"the request to {self.service} failed ({error}): check --api-url, or try another --source."
            ) from None
        except UnavailableError as error:
            if error.retry_after is not None:
                wait = duration(error.retry_after)
                raise TutorialError(f"{self.service} allows no more searches for now: try again in {wait}.") from None
            raise TutorialError(
                f"{self.service} is not available ({error}): check the network, then run this again."
            ) from None
        except (ValueError, RecursionError):
            response = None
        if not isinstance(response, dict):
            raise TutorialError(f"{self.service}'s response is not JSON: check --api-url, or try again later.")
        return response

    @contextmanager
    def _known_form(self) -> Iterator[None]:
        """Raises TutorialError if the fields of a response are not the documented ones."""
        try:
            yield
        except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
            raise TutorialError(
                f"{self.service}'s response has an unknown form: look for a newer version of this tutorial."
            ) from None


class Flickr(SearchAPI):
    """Flickr's search for photos under a Creative Commons license or in the public domain.

    ``api_key`` is free, from https://www.flickr.com/services/apps/create/.
    """

    service, own_url = "Flickr", FLICKR_URL
    page_size, depth = 500, 4000  # beyond that depth Flickr repeats itself
    spacing = 1.0  # its guide: 3,600 an hour

    def __init__(self, web: Downloader, url: str, api_key: str) -> None:
        super().__init__(web, url)
        self.api_key = api_key
        self._licenses: dict[str, dict] = {}

    def _call(self, method: str, **params: str | int) -> dict:
        params |= {"method": method, "api_key": self.api_key, "format": "json", "nojsoncallback": 1}
        response = self._get(params)
        if response.get("stat") == "ok":
            return response
        if str(response.get("code")) == "100":
            raise TutorialError("Flickr does not accept this API key: check FLICKR_API_KEY or --api-key.")
        reason = str(response.get("message", "no reason given"))[:LONGEST]
        raise TutorialError(f"Flickr's search failed ({reason}): try again later.")

    def licenses(self) -> dict[str, dict]:
        """Flickr's free licenses by their ids, each with ``name`` and ``url``.

        Requested, not listed here: Flickr added the 4.0 licenses under new ids in June 2025.
        """
        if not self._licenses:
            response = self._call("flickr.photos.licenses.getInfo")
            with self._known_form():
                every = {str(one["id"]): one for one in response["licenses"]["license"]}
                self._licenses = {i: one for i, one in every.items() if "creativecommons.org/" in str(one.get("url"))}
        return self._licenses

    def _page(self, query: str, page: int) -> tuple[list[dict], int]:
        response = self._call(
            "flickr.photos.search",
            text=query,
            license=",".join(self.licenses()),
            media="photos",
            content_type=1,  # photos, not screenshots and drawings
            safe_search=1,
            sort="relevance",
            extras=",".join(("license", "owner_name", *FLICKR_SIZES)),
            per_page=self.page_size,
            page=page,
        )
        with self._known_form():
            return response["photos"]["photo"], int(response["photos"]["pages"])

    def _photo(self, one: dict, query: str) -> FoundPhoto | None:
        key, license = self._key(one["id"]), self.licenses().get(str(one.get("license")))
        urls = tuple(str(one[size]) for size in FLICKR_SIZES if one.get(size))
        if not (key and license and urls):
            return None
        page = f"https://www.flickr.com/photos/{one['owner']}/{one['id']}"
        author = str(one.get("ownername") or one["owner"])
        return FoundPhoto(key, urls, page, author, str(license["name"]), str(license["url"]), query)


class Openverse(SearchAPI):
    """Openverse's search over many collections of freely licensed pictures, without a key."""

    service, own_url = "Openverse", OPENVERSE_URL
    page_size, depth = 20, 240  # larger pages need a registration; the depth is everyone's
    spacing = 3.0  # without a registration 20 a minute, and 200 a day, by its own X-RateLimit headers

    def _page(self, query: str, page: int) -> tuple[list[dict], int]:
        response = self._get({"q": query, "page": page, "page_size": self.page_size})
        with self._known_form():
            return response["results"], int(response["page_count"])

    def _photo(self, one: dict, query: str) -> FoundPhoto | None:
        key, text = self._key(one["id"]), {name: str(value or "") for name, value in one.items()}
        if not (key and text.get("url") and text.get("license")):
            return None
        name = {"cc0": "CC0", "pdm": "Public Domain Mark"}.get(text["license"], f"CC {text['license'].upper()}")
        return FoundPhoto(
            key,
            (text["url"],),
            text.get("foreign_landing_url", ""),
            text.get("creator") or "unknown",
            f"{name} {text.get('license_version', '')}".strip(),
            text.get("license_url", ""),
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
