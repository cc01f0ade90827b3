"""Downloads from unknown servers: bounded in size and time, and no address inside the local network.

Needs the packages of ``requirements-data.txt``.
"""

import http.client
import ipaddress
import random
import threading
import time
from collections.abc import Iterable
from functools import cache
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

AGENT = f"calico-tabby-tutorial/2.0 (data/collect.py, training photos) python-requests/{requests.__version__}"
TIMEOUTS = (10, 20)  # seconds to connect, and between two pieces of a response
WHOLE_RESPONSE = 60  # seconds from connecting to the last byte, redirects included; then no further piece is waited for
TRIES = 4
BACK_OFF = 0.25  # seconds, doubled before each further try
LONGEST_WAIT = 120  # seconds of Retry-After; a longer wait raises UnavailableError
REDIRECTS = 5
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class RefusedError(Exception):
    """A permanent failure: the file is gone or too large, or its address is not allowed."""


class UnavailableError(Exception):
    """A temporary failure: network, busy server, time-out. ``retry_after`` is the server's wait in seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def is_public(address: str) -> bool:
    """Whether an IP address is on the internet: not private, loopback, link-local, multicast or reserved."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6:
        nat64 = ip in ipaddress.ip_network("64:ff9b::/96")
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if nat64 else None)
        ip = inner or ip  # an embedded IPv4 address is the one that is reached
    return ip.is_global and not ip.is_multicast


def check_url(url: str, local_allowed: bool = False) -> str:
    """The URL itself, if it is allowed. A host name is checked later, when the connection is made.

    Raises:
        RefusedError: it is not http or https, or contains a private or local address.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise RefusedError("not a web address")
    try:
        public = is_public(host)
    except ValueError:  # a name, not a number
        public = host != "localhost"
    if not (public or local_allowed):
        raise RefusedError("a private or local address")
    return url


def next_url(url: str, location: str, local_allowed: bool = False) -> str:
    """The target of a redirect from ``url``.

    Raises:
        RefusedError: see :func:`check_url`; or the redirect drops the encryption.
    """
    try:
        target = check_url(urljoin(url, location), local_allowed)
    except ValueError:
        raise RefusedError("a redirect to nowhere") from None
    if url.startswith("https:") and not target.startswith("https:"):
        raise RefusedError("a redirect from https to http")
    return target


_attempt = threading.local()  # deadline: when the request that this thread sends, with its redirects, must be over


def _check_deadline() -> None:
    if time.monotonic() > _attempt.deadline:
        raise UnavailableError(f"a response took longer than {WHOLE_RESPONSE} s")


class _TimedResponse(http.client.HTTPResponse):
    """Checks the deadline before each piece from the socket, whether of the status, the headers or the body."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        raw = self.fp.raw
        receive = raw.readinto

        def readinto(buffer: memoryview) -> int | None:
            _check_deadline()
            return receive(buffer)

        raw.readinto = readinto


class _TimedOptions(tuple):
    """Socket options. They are set before each address of a host is tried, and so the deadline is checked there."""

    def __iter__(self):
        _check_deadline()
        return super().__iter__()


class _Guarded:
    """A connection that keeps to the deadline, and checks its address once it is made, before anything is sent.

    Checking the name beforehand is not enough: it can resolve to another address a moment later.
    """

    response_class = _TimedResponse
    local_allowed = False

    def _new_conn(self):
        self.socket_options = _TimedOptions(self.socket_options)
        sock = super()._new_conn()
        if not (self.local_allowed or is_public(sock.getpeername()[0])):
            sock.close()
            raise RefusedError("a private or local address")
        return sock


@cache
def _guarded(connection: type, local_allowed: bool) -> type:
    return type(connection.__name__, (_Guarded, connection), {"local_allowed": local_allowed})


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, local_allowed: bool) -> None:
        super().__init__()
        self.local_allowed = local_allowed

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        local_allowed = self.local_allowed or bool(select_proxy(request.url, proxies))
        pool.ConnectionCls = _guarded(type(pool).ConnectionCls, local_allowed)
        return pool


class Downloader:
    """Downloads complete responses into memory; thread-safe.

    Args:
        local_allowed: whether private and local addresses are allowed, for a server of the reader's own.

    A proxy from the environment is used. It resolves the names, so only addresses written out in a URL can be checked.
    """

    def __init__(self, local_allowed: bool = False) -> None:
        self.local_allowed = local_allowed
        self.session = requests.Session()
        # No compressed responses: a few bytes could unpack into gigabytes, and photos are compressed anyway.
        self.session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
        self.session.auth = lambda request: request  # else requests sends those in a URL or in ~/.netrc
        adapter = _GuardedAdapter(local_allowed)
        self.session.mount("http://", adapter)
        self.session.mount("https://", adapter)

    def get(self, url: str, most: int, params: dict[str, str | int] | None = None) -> bytes:
        """The body of the response.

        Args:
            url: http or https; redirects are followed, each one checked.
            most: bytes; reading stops at a larger response.
            params: added to the URL as its query.

        Raises:
            RefusedError: trying again would not help.
            UnavailableError: all tries failed, or the server asks for a wait longer than LONGEST_WAIT.
        """
        try:
            check_url(url, self.local_allowed)
            start = str(requests.Request("GET", url, params=params).prepare().url)
        except (requests.RequestException, UnicodeError):
            raise RefusedError("not a web address") from None
        for attempt in range(1, TRIES + 1):
            try:
                return self._follow(start, most)
            except UnavailableError as error:
                wait = BACK_OFF * 2**attempt * random.uniform(1, 1.5)
                wait = wait if error.retry_after is None else error.retry_after
                if attempt == TRIES or wait > LONGEST_WAIT:
                    raise
                time.sleep(wait)
        raise AssertionError

    def get_first(self, urls: Iterable[str], most: int) -> bytes:
        """The first of these URLs that works: another size where one is gone or too large. See :meth:`get`."""
        refused = RefusedError("no address given")
        for url in urls:
            try:
                return self.get(url, most)
            except RefusedError as error:
                refused = error
        raise refused

    def _follow(self, url: str, most: int) -> bytes:
        _attempt.deadline = time.monotonic() + WHOLE_RESPONSE
        for _ in range(REDIRECTS + 1):
            response = self._request(url, most)
            if isinstance(response, bytes):
                return response
            url = response
        raise RefusedError("too many redirects")

    def _request(self, url: str, most: int) -> bytes | str:
        """One request: the body, or the target of a redirect."""
        name = urlsplit(url).hostname or ""
        try:
            request = self.session.prepare_request(requests.Request("GET", url))
            address = str(request.url)
            settings = self.session.merge_environment_settings(address, {}, True, None, None)
            # The adapter itself: Session.send() would read the whole body of a redirect, however long.
            with self.session.get_adapter(address).send(request, timeout=TIMEOUTS, **settings) as response:
                if response.is_redirect:
                    return next_url(url, response.headers["Location"], self.local_allowed)
                if response.status_code in TRY_AGAIN:
                    status = f"{name} returned status {response.status_code}"
                    raise UnavailableError(status, _retry_after(response))
                if response.status_code != 200:
                    raise RefusedError(f"the server returned status {response.status_code}")
                return _read(response, most)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
            raise RefusedError("not a web address") from None
        except requests.Timeout:
            raise UnavailableError(f"{name} timed out") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # The error's own text may contain the URL, and with it the reader's API key.
            raise UnavailableError(
                f"{name} could not be reached or closed the connection ({type(error).__name__})"
            ) from None


def _retry_after(response: requests.Response) -> float | None:
    """Seconds, from either form of the Retry-After header; None without one that can be read."""
    header = response.headers.get("Retry-After")
    try:
        return None if header is None else urllib3.Retry(retry_after_max=10**9).parse_retry_after(header)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):  # the last two: too many digits
        return None


def _read(response: requests.Response, most: int) -> bytes:
    length = response.raw.length_remaining or 0  # as the header declares it; urllib3 raises an error if less arrives
    body = bytearray()
    while length <= most and len(body) <= most:
        piece = response.raw.read1(65536, decode_content=False)
        if not piece:
            return bytes(body)
        body += piece
    raise RefusedError(f"larger than {most / 1e6:.0f} MB")
