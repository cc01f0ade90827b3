"""Downloads from servers that nobody here knows: polite to them, bounded in size and time, checked at each step.

Needs the packages of ``requirements-data.txt``.
"""

import ipaddress
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

AGENT = f"calico-tabby-tutorial/1.0 (data/collect.py, photos to learn from) python-requests/{requests.__version__}"
PER_HOST = 4  # requests to one host at the same time
TIMEOUTS = (10, 20)  # seconds to connect, and between two pieces of an answer
WHOLE_ANSWER = 60  # seconds from the request to the last byte: a server that drips ends here
TRIES = 4
BACK_OFF = 0.5  # seconds before the second try, doubled for each one after
LONGEST_WAIT = 120  # seconds of Retry-After that are waited for; beyond that the caller decides
REDIRECTS = 5
TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}

Job = TypeVar("Job")
Result = TypeVar("Result")


class RefusedError(Exception):
    """This will not work the next time either: gone, too large, or at an address that must not be asked."""


class UnavailableError(Exception):
    """Not now: the network, a busy server, a time-out. ``retry_after`` is the wait in seconds that was asked for."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def is_public(address: str) -> bool:
    """Whether an IP address is out on the internet: not private, loopback, link-local, multicast or reserved."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6:
        nat64 = ip in ipaddress.ip_network("64:ff9b::/96")
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if nat64 else None)
        ip = inner or ip  # an IPv4 address in IPv6 clothes leads where the IPv4 address leads
    return ip.is_global and not ip.is_multicast


def check_url(url: str, local_allowed: bool = False) -> str:
    """The URL itself, if it may be asked for. A host's name is looked into later, when the connection is made.

    Raises:
        RefusedError: it is not http or https, or names a private or local address.
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
    """Where a redirect from ``url`` leads.

    Raises:
        RefusedError: see :func:`check_url`; or the redirect would go on without encryption.
    """
    try:
        target = check_url(urljoin(url, location), local_allowed)
    except ValueError:
        raise RefusedError("a redirect to nowhere") from None
    if url.startswith("https:") and not target.startswith("https:"):
        raise RefusedError("a redirect from https to http")
    return target


class _PublicOnly:
    """Looks at the address a connection has reached, before anything is sent.

    A look at the name beforehand would leave a gap: it can resolve to another address a moment later.
    """

    def _new_conn(self):
        sock = super()._new_conn()
        if not is_public(sock.getpeername()[0]):
            sock.close()
            raise RefusedError("a private or local address")
        return sock


class _PublicAdapter(HTTPAdapter):
    def init_poolmanager(self, *args, **kwargs) -> None:
        super().init_poolmanager(*args, **kwargs)
        pools = {}
        for scheme, pool, connection in (
            ("http", HTTPConnectionPool, HTTPConnection),
            ("https", HTTPSConnectionPool, HTTPSConnection),
        ):
            checked = type(f"_Public{connection.__name__}", (_PublicOnly, connection), {})
            pools[scheme] = type(f"_Public{pool.__name__}", (pool,), {"ConnectionCls": checked})
        self.poolmanager.pool_classes_by_scheme = pools


class _Host:
    """One host's limits: so many requests at a time, so far apart, and none while it has asked for a pause."""

    def __init__(self, name: str, spacing: float) -> None:
        self.name, self.spacing = name, spacing
        self.slots = threading.BoundedSemaphore(PER_HOST)
        self.lock = threading.Lock()
        self.free_at = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        with self.slots:
            while True:
                with self.lock:
                    wait = self.free_at - time.monotonic()
                    if wait > LONGEST_WAIT:
                        raise UnavailableError(f"{self.name} asks for a pause of {wait:.0f} s", wait)
                    if wait <= 0:
                        self.free_at = time.monotonic() + self.spacing
                        break
                time.sleep(wait)
            yield

    def pause(self, seconds: float) -> None:
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic() + seconds)


class Downloader:
    """Fetches whole answers into memory; safe to use from several threads.

    Args:
        local_allowed: whether private and local addresses may be asked, for a server of the reader's own.
        spacing: seconds between two requests to a host, by host name; 0 where nothing is said.

    A proxy set in the environment is used. It then looks up the names, so only addresses written out in a URL
    can be checked here.
    """

    def __init__(self, local_allowed: bool = False, spacing: dict[str, float] | None = None) -> None:
        self.local_allowed, self.spacing = local_allowed, spacing or {}
        self.session = requests.Session()
        # Compressed answers are not asked for, so no few bytes can unpack into gigabytes. Photos are packed anyway.
        self.session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
        adapter = (HTTPAdapter if local_allowed else _PublicAdapter)(pool_connections=32, pool_maxsize=PER_HOST)
        self.session.mount("http://", adapter)
        self.session.mount("https://", adapter)
        self.hosts: dict[str, _Host] = {}
        self.lock = threading.Lock()

    def get(self, url: str, most: int, params: dict[str, str | int] | None = None) -> bytes:
        """The answer's body.

        Args:
            url: http or https; redirects are followed, each one checked.
            most: bytes; reading stops at a larger answer.
            params: added to the URL as its query.

        Raises:
            RefusedError: asking again would not help.
            UnavailableError: it did not work after four tries, or the server asks for a long wait.
        """
        try:
            check_url(url, self.local_allowed)
            start = str(requests.Request("GET", url, params=params).prepare().url)
        except (requests.RequestException, UnicodeError):
            raise RefusedError("not a web address") from None
        for attempt in range(TRIES):
            try:
                return self._follow(start, most)
            except UnavailableError as error:
                if attempt == TRIES - 1 or (error.retry_after or 0) > LONGEST_WAIT:
                    raise
                if error.retry_after is None:  # otherwise the host is paused for everyone
                    time.sleep(BACK_OFF * 2**attempt * random.uniform(1, 1.5))
        raise AssertionError

    def get_first(self, urls: Iterable[str], most: int) -> bytes:
        """The first of these that can be had: where one is gone or too large, another size may do. As :meth:`get`."""
        refused = RefusedError("no address given")
        for url in urls:
            try:
                return self.get(url, most)
            except RefusedError as error:
                refused = error
        raise refused

    def _follow(self, url: str, most: int) -> bytes:
        for _ in range(REDIRECTS + 1):
            answer = self._ask(url, most)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise RefusedError("too many redirects")

    def _ask(self, url: str, most: int) -> bytes | str:
        """One request: the body, or the URL that a redirect leads to."""
        name = urlsplit(url).hostname or ""
        with self.lock:
            host = self.hosts.setdefault(name, _Host(name, self.spacing.get(name, 0)))
        try:
            request = self.session.prepare_request(requests.Request("GET", url))
            address = str(request.url)
            settings = self.session.merge_environment_settings(address, {}, True, None, None)
            with host.turn():
                deadline = time.monotonic() + WHOLE_ANSWER
                # The adapter itself, because Session.send() reads a redirect's whole body, however long.
                adapter = self.session.get_adapter(address)
                with adapter.send(request, timeout=TIMEOUTS, **settings) as response:
                    if response.is_redirect:
                        return next_url(url, response.headers["Location"], self.local_allowed)
                    if response.status_code in TRY_AGAIN:
                        wait = _retry_after(response)
                        if wait is not None:
                            host.pause(wait)
                        raise UnavailableError(f"{name} answered {response.status_code}", wait)
                    if response.status_code != 200:
                        raise RefusedError(f"the server answered {response.status_code}")
                    return _read(response, most, deadline)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
            raise RefusedError("not a web address") from None
        except requests.Timeout:
            raise UnavailableError(f"{name} did not answer in time") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # The error's own text may hold the whole URL, and the URL the reader's API key.
            raise UnavailableError(f"{name} could not be reached or broke off ({type(error).__name__})") from None


def _retry_after(response: requests.Response) -> float | None:
    """Seconds, from either form of the Retry-After header; None without one that can be read."""
    header = response.headers.get("Retry-After")
    try:
        return None if header is None else urllib3.Retry(retry_after_max=10**9).parse_retry_after(header)
    except urllib3.exceptions.InvalidHeader:
        return None


def _read(response: requests.Response, most: int, deadline: float) -> bytes:
    declared = response.headers.get("Content-Length", "")
    length = int(declared) if declared.isdecimal() else None
    body = bytearray()
    while (length or 0) <= most and len(body) <= most:
        if time.monotonic() > deadline:
            raise UnavailableError(f"an answer took longer than {WHOLE_ANSWER} s")
        piece = response.raw.read1(65536, decode_content=False)
        if not piece:
            if length is not None and len(body) < length:
                raise UnavailableError("an answer broke off")
            return bytes(body)
        body += piece
    raise RefusedError(f"larger than {most / 1e6:.0f} MB")


def in_threads(work: Callable[[Job], Result], jobs: Iterator[Job], threads: int) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, as they finish. ``jobs`` may wait: one thread at a time takes the next job from it.

    As many results as threads wait to be taken, no more: then the threads wait too.
    The threads are daemons: whoever stops listening, at Ctrl-C say, does not wait for a slow server.
    An exception from ``jobs`` or ``work`` is raised here, after the results of the other jobs under way.
    """
    turn, results = threading.Lock(), Queue[tuple[Job, Result] | None](threads)
    failure: list[BaseException] = []

    def take_jobs() -> None:
        try:
            while not failure:
                with turn:
                    job = next(jobs)
                results.put((job, work(job)))
        except StopIteration:
            pass
        except BaseException as error:
            failure.append(error)
        finally:
            results.put(None)

    for _ in range(threads):
        threading.Thread(target=take_jobs, daemon=True).start()
    while threads:
        try:
            result = results.get(timeout=0.5)  # without one, Windows would not hear Ctrl-C here
        except Empty:
            continue
        if result is None:
            threads -= 1
        else:
            yield result
    if failure:
        raise failure[0]
