"""Collecting photos: data/collect.py as a reader runs it, against a server on loopback that speaks both protocols."""

import hashlib
import http.server
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from collect import AT_A_TIME
from conftest import PROJECT, posix, run, table_rows, wait_for
from photo_tools import download
from photo_tools.collection import Collection
from photo_tools.download import Downloader, RefusedError, UnavailableError
from photo_tools.photo_folders import photo_files
from photo_tools.search_apis import Flickr, Openverse
from tutorial.cli import TutorialError
from tutorial.dataset import find_photos

import numpy as np
import pytest
from PIL import Image

LICENCES = [
    {"id": 0, "name": "All Rights Reserved", "url": ""},
    {"id": 4, "name": "CC BY 2.0", "url": "https://creativecommons.org/licenses/by/2.0/"},
    {"id": "9", "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"},
]
DRIPS = {  # what a dripping server sends at first, and then again and again
    "drip": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"."),
    "drip-headers": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
    "drip-continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drip-chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a"),
}
HEADERS = {
    "length": {"Content_Length": "9" * 5000},
    "length-other": {"Content_Length": "²³"},
    "length-huge": {"Content_Length": "9" * 4000},
    "wait": {"status": 503, "Retry_After": "9" * 5000},
    "wait-other": {"status": 503, "Retry_After": "²³"},
    "wait-date": {"status": 503, "Retry_After": f"Wed, 21 Oct {'9' * 30} 07:28:00 GMT"},
    "wait-huge": {"status": 503, "Retry_After": "9" * 4000},
}
ANSWERS = {
    "deep": b"[" * 100_000,
    "infinite": b"""{"stat": "ok", "licenses": {"license": []}, "photos": {"photo": [], "pages": 1e999},
        "results": [], "page_count": 1e999}""",
}
AUTHOR = '=HYPERLINK("http://x")\r\n\x07 "Zoë", cat lady'


def picture(name: str, kind: str = "JPEG") -> bytes:
    """A small picture of noise, another one for each name."""
    rng = np.random.default_rng(list(name.encode()))
    out = io.BytesIO()
    Image.fromarray(np.uint8(rng.integers(0, 256, (24, 32, 3)))).save(out, kind)
    return out.getvalue()


class Site(http.server.ThreadingHTTPServer):
    """Flickr, Openverse and the servers that have the photos, in one.

    ``found`` maps a query to the photos' names. A name with a colon is a photo with trouble: see Handler.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.photo_url = (
            f"http://localhost:{self.server_address[1]}/photo"  # another host than the services', by its name
        )
        self.found: dict[str, list[str]] = {}
        self.log: list[tuple[float, str, dict[str, str]]] = []  # time, path, query
        self.fields: dict[str, dict[str, str]] = {}  # of a photo in the search's results, by its name
        self.agents: set[str] = set()
        self.credentials: set[str | None] = set()
        self.delay = 0.0  # seconds before each photo
        self.search_limits: list[tuple[int, str]] = []  # status and Retry-After for the next searches, first to last
        self.closed_from = 10**9  # the search from which on Retry-After is a day
        self.closed_photos = False
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests

    def searches(self):
        return [query for _, path, query in self.log if path in ("/rest/", "/images/") and "page" in query]

    def photos(self):
        """How often each photo was requested."""
        return Counter(path for _, path, _ in self.log if path.startswith("/photo/"))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, body: bytes, status: int = 200, kind: str = "image/jpeg", **headers: object):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in ({"Content_Length": len(body)} | headers).items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def send_json(self, content: object, status: int = 200):
        self.send(json.dumps(content).encode(), status, "application/json")

    def do_GET(self):
        site, parts = self.server, urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        with site.lock:
            times = sum(path == parts.path for _, path, _ in site.log)
            site.log.append((time.monotonic(), parts.path, query))
            site.agents.add(self.headers["User-Agent"])
            site.credentials.add(self.headers["Authorization"])
        if parts.path in ("/rest/", "/images/"):
            searches = len(site.searches())
            if site.search_limits:
                status, wait = site.search_limits.pop(0)
                self.send(b"", status, Retry_After=wait)
            elif searches >= site.closed_from:
                self.send(b"", 429, Retry_After=86400)
            else:
                (self.flickr if parts.path == "/rest/" else self.openverse)(query)
        elif parts.path.startswith("/photo/"):
            with site.lock:
                site.at_once += 1
                site.most_at_once = max(site.most_at_once, site.at_once)
            time.sleep(site.delay)
            with site.lock:
                site.at_once -= 1
            if site.closed_photos:
                self.send(b"", 503, Retry_After=3600)
            else:
                self.photo(parts.path.removeprefix("/photo/"), times)
        else:
            self.send(b"<html>", 404, "text/html")

    def do_CONNECT(self):
        self.drip("drip-headers")

    def drip(self, trouble: str):
        first, piece = DRIPS[trouble]
        self.close_connection = True
        self.wfile.write(first)
        for _ in range(50):
            time.sleep(0.1)
            self.wfile.write(piece)

    def flickr(self, query):
        if query.get("api_key") != "good":
            self.send_json({"stat": "fail", "code": 100, "message": "Invalid API Key (Key has invalid format)"})
            return
        assert query["format"] == "json" and query["nojsoncallback"] == "1"
        if query["method"] == "flickr.photos.licenses.getInfo":
            self.send_json({"licenses": {"license": LICENCES}, "stat": "ok"})
            return
        names, size, page = self.server.found[query["text"]], min(int(query["per_page"]), 500), int(query["page"])
        pages = -(-len(names) // size)
        names = names[:4000][(min(page, 4000 // size) - 1) * size :][:size]  # beyond 4,000 the last page again
        photos = []
        for name in names:
            photo = {"id": name.partition(":")[0], "owner": "1@N0", "title": "", "license": "4", "ownername": AUTHOR}
            assert {"license", "owner_name", "url_c", "url_z", "url_m"} <= set(query["extras"].split(","))
            urls = {"url_c": name} if ":sizes" not in name else {"url_z": f"{name}:gone", "url_m": name}
            photo |= {size: f"{self.server.photo_url}/{url}" for size, url in urls.items()}
            photos.append(photo | self.server.fields.get(name, {}))
        self.send_json({"photos": {"page": page, "pages": pages, "perpage": size, "photo": photos}, "stat": "ok"})

    def openverse(self, query):
        names, size, page = self.server.found[query["q"]], int(query["page_size"]), int(query["page"])
        if size > 20:
            self.send_json({"detail": "page_size may not exceed 20 for anonymous requests"}, 401)
        elif size * page > 240:
            self.send_json({"detail": "pagination depth may not exceed 240"}, 400)
        else:
            results = [
                {
                    "id": name.partition(":")[0],
                    "url": f"{self.server.photo_url}/{name}",
                    "foreign_landing_url": f"https://photos.example/{name.partition(':')[0]}/",
                    "creator": None if name == "anonymous" else "A. Photographer",
                    "license": "cc0" if name == "anonymous" else "by-sa",
                    "license_version": "1.0",
                    "license_url": "https://creativecommons.org/licenses/by-sa/1.0/",
                }
                | self.server.fields.get(name, {})
                for name in names[size * (page - 1) :][:size]
            ]
            pages = min(-(-len(names) // size), 12)
            self.send_json(
                {"result_count": min(len(names), 240), "page_count": pages, "page": page, "results": results}
            )

    def photo(self, name: str, times: int):
        """The photo called ``name``; after a colon, what is wrong with it (the ``times``-th request)."""
        name, _, trouble = name.partition(":")
        body = picture(name)
        if trouble == "busy" and times == 0:
            self.send(b"", 429, Retry_After=1)
        elif trouble == "errors" and times < 2:
            self.send(b"", 500)
        elif trouble == "cut" and times == 0:
            self.send(body[:300], Content_Length=len(body))
            self.close_connection = True
        elif trouble == "html":
            self.send(b"<html>sign in to see this photo</html>" * 99)
        elif trouble == "truncated":  # whole for HTTP, but the file lay there cut short
            self.send(body[:-200])
        elif trouble == "huge":
            self.send(b"", Content_Length=10**12)
            self.close_connection = True
        elif trouble == "endless" or (trouble == "endless-redirect" and times == 0):
            redirect = {"status": 302, "Location": self.path} if trouble == "endless-redirect" else {}
            self.send(body, Content_Length=None, Connection="close", **redirect)
            while True:  # until the client hangs up
                self.wfile.write(bytes(1_000_000))
        elif trouble in DRIPS:
            self.drip(trouble)
        elif trouble in HEADERS:
            self.send(body, **HEADERS[trouble])
            self.close_connection = True
        elif trouble in ANSWERS:
            self.send(ANSWERS[trouble])
        elif trouble == "same":
            self.send(picture("the same"))
        elif trouble in ("png", "mpo", "webp", "gif"):
            self.send(picture(name, trouble))
        elif trouble == "eps":
            self.send(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n" + bytes(999))
        elif trouble.endswith("gone"):
            self.send(b"", 404)
        elif trouble in ("round", "slow-round"):
            time.sleep(0.2 * (trouble == "slow-round"))
            self.send(b"", 302, Location=self.path)
        elif trouble == "private":
            self.send(b"", 302, Location="http://10.1.2.3/secret")
        elif trouble == "moved":
            self.send(b"", 302, Location=f"/photo/{name}")
        else:
            self.send(body)


@pytest.fixture
def site():
    with Site() as site:
        threading.Thread(target=site.serve_forever, args=(0.05,), daemon=True).start()
        yield site
        site.shutdown()


def command(site: Site, data: Path, source: str | None, *flags: object) -> dict:
    """What to give to subprocess: collect.py, with nothing of this machine's own settings."""
    url = f"{site.url}/{'rest' if source == 'flickr' else 'images'}/"
    own = {"FLICKR_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
    return {
        "args": [
            *(sys.executable, "data/collect.py", "--class", "calico", "--data", str(data), "--api-url", url),
            *(["--source", source] if source else []),
            *(["--api-key", "good"] if source == "flickr" else []),
            *map(str, flags),
        ],
        "cwd": PROJECT,
        "env": {name: value for name, value in os.environ.items() if name.upper() not in own},
        "text": True,
        "encoding": "utf-8",
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


def collect(site: Site, data: Path, source: str | None, *flags: object) -> subprocess.CompletedProcess:
    settings = command(site, data, source, *flags)
    unset = dict.fromkeys(set(os.environ) - set(settings["env"]), "")
    return run(*settings["args"][1:], env=unset, timeout=60)


def rows(data: Path, table: str = "attribution") -> list[dict[str, str]]:
    return table_rows(data / "collected" / "calico" / f"{table}.csv")


def sound(data: Path) -> dict[str, dict[str, str]]:
    """The rows by file name, after a look that the table and the folder agree and every photo can be read."""
    folder = data / "collected" / "calico"
    table = {row["file"]: row for row in rows(data)}
    assert len(table) == len(rows(data)), "a photo with two rows"
    assert {path.name for path in folder.iterdir()} - {".lock", "attribution.csv", "refused.csv"} == set(table)
    for name, row in table.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == row["sha256"]
        with Image.open(folder / name) as image:
            image.load()
    return table


def names(count: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{i}" for i in range(count)]


# The main path


def test_flickr_two_queries_in_turn(site, tmp_path):
    site.found = {"calico cat": names(40, "1"), "calico & kitten": names(40, "2")}
    site.delay = 0.1  # long enough for downloads to overlap
    done = collect(site, tmp_path, "flickr", "calico cat", "calico & kitten", "--count", 30)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    table = sound(tmp_path)
    assert Counter(row["query"] for row in table.values()) == {"calico cat": 15, "calico & kitten": 15}
    assert table["flickr-10.jpg"] == {
        "file": "flickr-10.jpg",
        "source_page": "https://www.flickr.com/photos/1@N0/10",
        "author": '\'=HYPERLINK("http://x") "Zoë", cat lady',  # one line, and no formula for a spreadsheet
        "license": "CC BY 2.0",
        "license_url": "https://creativecommons.org/licenses/by/2.0/",
        "query": "calico cat",
        "sha256": hashlib.sha256(picture("10")).hexdigest(),
    }
    assert sum(site.photos().values()) == 30, "no more is fetched than --count"
    assert [query["license"] for query in site.searches()] == ["4,9", "4,9"], "all rights reserved is not searched for"
    assert 2 <= site.most_at_once <= AT_A_TIME
    assert all("calico-tabby-tutorial" in agent for agent in site.agents)
    assert f"next: python data/prune.py --data {tmp_path}" in done.stdout.splitlines()[-1]
    log = len(site.log)
    assert collect(site, tmp_path, "flickr", "calico cat", "--count", 30).returncode == 0
    assert len(site.log) == log, "nothing is missing, so nothing is requested"


def test_openverse_without_a_key_and_fewer_than_asked_for(site, tmp_path):
    both = names(15, "both")  # the second query finds some of the first's photos again
    site.found = {"a": [*names(10, "a"), *both, "anonymous"], "b": [*both, *names(5, "b")]}
    done = collect(site, tmp_path, None, "a", "b", "--count", 100)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "no Flickr key" in done.stdout and "fewer than 100" in done.stdout
    table = sound(tmp_path)
    assert len(table) == 31 and set(site.photos().values()) == {1}
    assert table["openverse-anonymous.jpg"]["author"] == "unknown"
    assert table["openverse-anonymous.jpg"]["license"] == "CC0 1.0"
    assert table["openverse-a0.jpg"]["license"] == "CC BY-SA 1.0"
    assert table["openverse-a0.jpg"]["source_page"] == "https://photos.example/a0"


def test_the_key_may_come_from_the_environment(site, tmp_path):
    site.found = {"cat": names(3)}
    settings = command(site, tmp_path, None, "cat", "--count", 3)
    settings["args"] = [text.replace("/images/", "/rest/") for text in settings["args"]]
    settings["env"]["FLICKR_API_KEY"] = "good"
    assert subprocess.run(**settings, check=False).returncode == 0
    assert set(sound(tmp_path)) == {"flickr-0.jpg", "flickr-1.jpg", "flickr-2.jpg"}


def test_paging_goes_to_the_limits_of_each_service_and_not_beyond(site):
    site.found = {"many": names(4600), "some": names(999), "none": []}
    web = Downloader(local_allowed=True)
    flickr, openverse = Flickr(web, f"{site.url}/rest/", "good"), Openverse(web, f"{site.url}/images/")
    for source, query, photos, pages in (
        (flickr, "many", 4000, 8),
        (flickr, "some", 999, 2),
        (flickr, "none", 0, 1),
        (openverse, "many", 240, 12),
        (openverse, "none", 0, 1),
    ):
        before = len(site.searches())
        keys = [photo.key for photo in source.search(query)]
        assert len(keys) == len(set(keys)) == photos
        assert len(site.searches()) - before == pages


def test_smaller_sizes_are_fallen_back_to(site, tmp_path):
    site.found = {"cat": ["1:sizes", "2"]}  # photo 1 has no url_c, and its url_z is gone
    assert collect(site, tmp_path, "flickr", "cat", "--count", 2).returncode == 0
    assert set(sound(tmp_path)) == {"flickr-1.jpg", "flickr-2.jpg"}
    assert site.photos() == {"/photo/1:sizes:gone": 1, "/photo/1:sizes": 1, "/photo/2": 1}


def test_fields_of_any_length_fit_into_the_table(site, tmp_path):
    long = f"https://photos.example/{'x' * 140_000}"  # more than Python's csv reads in one cell
    web, photos = Downloader(local_allowed=True), Collection(tmp_path)
    for source, author, addresses in (
        (Flickr(web, f"{site.url}/rest/", "good"), "ownername", ("owner", "url_c")),
        (Openverse(web, f"{site.url}/images/"), "creator", ("url", "foreign_landing_url", "license_url")),
    ):
        site.fields = {"author": {author: long}} | {str(i): {name: long} for i, name in enumerate(addresses)}
        site.found = {"cat": [*site.fields, "short"]}
        for photo in source.search("cat"):
            assert photos.keep(photo, picture(photo.key)) is None
    whole = Collection(tmp_path)
    assert [path.name for path in find_photos(tmp_path).photos] == sorted(
        f"{source}-{name}.jpg" for source in ("flickr", "openverse") for name in ("author", "short")
    )
    assert whole.count == photos.count == 4
    assert all(len(line) < 2000 for line in (tmp_path / "attribution.csv").read_text().splitlines())


# Servers with troubles


def test_troubles_that_pass_are_waited_out(site, tmp_path):
    site.found = {"cat": ["1:busy", "2:errors", "3:cut", "4:moved", "5:endless-redirect", "6"]}
    site.search_limits = [(500, "soon"), (429, "1")]
    done = collect(site, tmp_path, "flickr", "cat", "--count", 6)
    assert done.returncode == 0 and "left out" not in done.stdout, done.stdout + done.stderr
    assert set(sound(tmp_path)) == {f"flickr-{i}.jpg" for i in range(1, 7)}
    requested = {}
    for when, path, _ in site.log:
        requested.setdefault(path, []).append(when)
    assert requested["/rest/"][2] - requested["/rest/"][1] >= 1, "Retry-After is honoured by the search"
    assert requested["/photo/1:busy"][1] - requested["/photo/1:busy"][0] >= 1, "and by the downloads"
    assert len(requested["/photo/2:errors"]) == 3 and len(requested["/photo/3:cut"]) == 2


def test_only_real_photos_are_kept_and_each_once(site, tmp_path):
    good = ["png", "mpo", "webp", "gif"]
    bad = ["html", "truncated", "huge", "endless", "gone", "round", "eps"]
    site.found = {"cat": [f"{i}:{trouble}" for i, trouble in enumerate([*bad, "same", "same", *good])]}
    done = collect(site, tmp_path, "openverse", "cat", "--count", 9)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    table = sound(tmp_path)
    right = {"openverse-9.png", "openverse-10.jpg", "openverse-11.webp", "openverse-12.gif"}
    assert right < set(table) and len(table) == 5, "the ending is the real format's"
    refused = {row["photo"]: row["reason"] for row in rows(tmp_path, "refused")}
    assert [refused[f"openverse-{i}"] for i in range(7)] == [
        "not a photo",
        "broken or truncated",
        "larger than 20 MB",
        "larger than 20 MB",
        "the server returned status 404",
        "too many redirects",
        "not a photo",
    ]
    assert "left out: 1 (the same file as another)" in done.stdout
    before = site.photos()
    assert collect(site, tmp_path, "openverse", "cat", "--count", 9).returncode == 0
    assert site.photos() == before, "what was tried and refused is not tried again"


def test_photos_that_cannot_be_had_now_are_tried_again_by_the_next_run(site, tmp_path, sentence):
    site.found, site.closed_photos = {"cat": names(30)}, True
    message = sentence(collect(site, tmp_path, "flickr", "cat", "--count", 30))
    assert message.startswith(
        "error: photos cannot be fetched (localhost returned status 503): check the network, or try again later."
    )
    assert sum(site.photos().values()) <= 2 * AT_A_TIME, "a server that wants an hour's pause gets it"
    assert [path.name for path in (tmp_path / "collected" / "calico").iterdir()] == [".lock"]
    site.closed_photos = False
    assert collect(site, tmp_path, "flickr", "cat", "--count", 30).returncode == 0
    assert len(sound(tmp_path)) == 30


def test_a_used_up_limit_keeps_what_is_there(site, tmp_path, sentence):
    site.found, site.closed_from = {"cat": names(60)}, 3
    message = sentence(collect(site, tmp_path, "openverse", "cat", "--count", 50))
    assert "allows no more searches for now: try again in 24 h" in message
    assert "40 photos are kept, and the same command resumes" in message
    assert len(sound(tmp_path)) == 40
    site.closed_from = 10**9
    assert collect(site, tmp_path, "openverse", "cat", "--count", 50).returncode == 0
    assert len(sound(tmp_path)) == 50 and set(site.photos().values()) == {1}


def test_a_server_that_drips_or_is_silent_does_not_hold_a_download(site, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    monkeypatch.setattr(download, "WHOLE_RESPONSE", 0.5)
    monkeypatch.setattr(download, "TIMEOUTS", (1, 0.5))
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    web = Downloader(local_allowed=True)

    def reason(url: str) -> str:
        with pytest.raises(UnavailableError) as error:
            web.get(url, 10**6)
        return str(error.value)

    start = time.monotonic()
    troubles = [*DRIPS, "slow-round"]
    with ThreadPoolExecutor(9) as pool:
        for why in pool.map(reason, (f"{site.url}/photo/1:{trouble}" for trouble in troubles)):
            assert why == "a response took longer than 0.5 s"
        monkeypatch.setenv("http_proxy", site.url)
        monkeypatch.setenv("https_proxy", site.url)
        web = Downloader()
        urls = [f"http://photos.example/photo/1:{trouble}" for trouble in troubles]
        for why in pool.map(reason, [*urls, "https://photos.example/"]):
            assert why == "a response took longer than 0.5 s"
    monkeypatch.delenv("http_proxy")
    monkeypatch.setattr(download, "is_public", lambda address: True)
    web, site.delay = Downloader(), 2
    assert reason(f"{site.url}/photo/1") == "127.0.0.1 timed out"
    assert time.monotonic() - start < 4


def test_a_host_with_many_addresses_that_do_not_answer_does_not_hold_a_download(monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    monkeypatch.setattr(download, "WHOLE_RESPONSE", 0.3)
    monkeypatch.setattr(download, "TIMEOUTS", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.create_connection(server.getsockname()):
        address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", server.getsockname())  # its queue is full now
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [address] * 20)
        start = time.monotonic()
        with pytest.raises(UnavailableError):
            Downloader(local_allowed=True).get("http://many.example/", 10**6)
        assert time.monotonic() - start < 2


def test_lengths_and_waits_that_are_no_numbers_are_passed_over(site, monkeypatch):
    """Python makes no number of more than 4,300 digits."""
    monkeypatch.setattr(download, "TRIES", 1)
    web = Downloader(local_allowed=True)
    for trouble in ("length", "length-other"):
        assert web.get(f"{site.url}/photo/1:{trouble}", 10**6) == picture("1"), trouble
    with pytest.raises(RefusedError, match="larger than 1 MB"):
        web.get(f"{site.url}/photo/1:length-huge", 10**6)
    for trouble in ("wait", "wait-other", "wait-date"):
        with pytest.raises(TutorialError, match=r"Openverse is not available .*status 503"):
            list(Openverse(web, f"{site.url}/photo/1:{trouble}").search("cat"))
    with pytest.raises(TutorialError, match="try again in 277777 h"):
        list(Openverse(web, f"{site.url}/photo/1:wait-huge").search("cat"))


def test_no_credentials_are_sent(site, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    web = Downloader(local_allowed=True)
    for host in (site.url, site.url.replace("://", "://me:secret@")):
        assert web.get(f"{host}/photo/1:moved", 10**6) == picture("1")
    assert len(site.log) == 4 and site.credentials == {None}


def test_searches_are_spaced(site, monkeypatch):
    site.found = {"many": names(60)}
    monkeypatch.setattr(Openverse, "own_url", f"{site.url}/images/")
    monkeypatch.setattr(Openverse, "spacing", 0.3)
    assert len(list(Openverse(Downloader(local_allowed=True), f"{site.url}/images/").search("many"))) == 60
    first, second, third = (when for when, _, _ in site.log)
    assert min(second - first, third - second) >= 0.25


# Where a download may lead


def test_which_addresses_are_public():
    for address in ("93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::93.184.216.34"):
        assert download.is_public(address), address
    for address in (
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1"),
        *("::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "2002:7f00:1::"),
    ):
        assert not download.is_public(address), address


def test_redirects():
    assert download.next_url("http://a.example/x/1.jpg", "../2.jpg") == "http://a.example/2.jpg"
    assert download.next_url("http://a.example/", "https://b.example/") == "https://b.example/"
    for location, reason in (
        ("http://b.example/", "from https to http"),
        ("//127.0.0.1/", "private or local"),
        ("https://[::1]/", "private or local"),
        ("https://[::1", "nowhere|not a web address"),
        ("https://localhost/", "private or local"),
        ("file:///etc/passwd", "not a web address"),
        ("ftp://b.example/", "not a web address"),
    ):
        with pytest.raises(RefusedError, match=reason):
            download.next_url("https://a.example/", location)


def test_local_addresses_are_not_asked_whatever_they_are_called(site, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    web = Downloader()
    port = site.server_address[1]
    for host in ("127.0.0.1", "localhost", "127.1", "2130706433"):  # the last two are names until they are resolved
        with pytest.raises(RefusedError, match="a private or local address"):
            web.get(f"http://{host}:{port}/photo/1", 10**6)
    assert site.log == []


def test_a_redirect_from_the_internet_to_a_local_address_is_refused(site, monkeypatch):
    """The loopback server is a proxy here, so that a public name can redirect."""
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", site.url)
    web = Downloader()
    assert web.get("http://photos.example/photo/1:moved", 10**6) == picture("1")
    with pytest.raises(RefusedError, match="a private or local address"):
        web.get("http://photos.example/photo/1:private", 10**6)
    assert [path for _, path, _ in site.log] == ["/photo/1:moved", "/photo/1", "/photo/1:private"]


# Stopped in the middle


@posix
@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT"])
def test_stopped_in_the_middle_it_continues_and_fetches_nothing_twice(site, tmp_path, how):
    site.found, site.delay = {"cat": names(60)}, 0.1
    flags = ("flickr", "cat", "--count", 50)
    process = subprocess.Popen(**command(site, tmp_path, *flags))
    table = tmp_path / "collected" / "calico" / "attribution.csv"
    wait_for(process, lambda: table.exists() and len(table.read_bytes().splitlines()) >= 15)
    process.send_signal(getattr(signal, how))
    start = time.monotonic()
    stdout, stderr = process.communicate(timeout=20)
    kept = rows(tmp_path)
    assert 14 <= len(kept) < 50
    if how == "SIGINT":
        assert process.returncode == 130 and time.monotonic() - start < 5
        folder = tmp_path / "collected" / "calico"
        assert stderr.strip().startswith("stopped; the same command resumes: python data/collect.py"), stdout
        files = {path.name for path in folder.iterdir()} - {".lock", "attribution.csv", "refused.csv"}
        # No half file; and one photo at most that was in its place already when the signal came before its row.
        assert not any(name.startswith(".") for name in files) and len(files - {row["file"] for row in kept}) <= 1
    site.delay = 0
    done = collect(site, tmp_path, *flags)
    assert done.returncode == 0 and "50 photos are in" in done.stdout, done.stderr
    table = sound(tmp_path)
    assert len(table) == 50
    requested = site.photos()
    for row in kept:
        assert table[row["file"]] == row
        assert requested[f"/photo/{row['file'].removeprefix('flickr-').removesuffix('.jpg')}"] == 1
    assert sum(requested.values()) <= 50 + 2 * 8, "only what was under way or waited to be written was requested again"


def test_a_torn_row_is_repaired_without_fetching_its_photo_again(site, tmp_path):
    site.found = {"cat": names(12)}
    flags = ("openverse", "cat", "--count", 10)
    assert collect(site, tmp_path, *flags).returncode == 0
    before, requested = rows(tmp_path), site.photos()
    folder = tmp_path / "collected" / "calico"
    table = folder / "attribution.csv"
    table.write_bytes(table.read_bytes()[:-30])  # a crash while the row was written
    mark = (folder / ".lock").read_text().strip()
    (folder / f".tmp-tutorial-{mark}-x-openverse-77.jpg").write_bytes(b"half")  # and one while a photo was
    done = collect(site, tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path) == before and site.photos() == requested
    assert len(sound(tmp_path)) == 10


def test_a_table_cut_at_any_byte_loses_only_the_row_that_was_cut(site, tmp_path):
    site.found = {"cat": names(3)}
    assert collect(site, tmp_path, "flickr", "cat", "--count", 3).returncode == 0
    folder = tmp_path / "collected" / "calico"
    whole = (folder / "attribution.csv").read_bytes()
    for cut in (*range(0, 200, 9), *range(200, len(whole))):
        (folder / "attribution.csv").write_bytes(whole[:cut])
        photos = Collection(folder)
        lines = whole[: cut + 1].count(b"\n")  # a row that lacks no more than its line break is whole
        assert photos.count == max(0, lines - 1), cut
        assert len(photos.without_row) == 3 - photos.count
        assert whole.startswith((folder / "attribution.csv").read_bytes())


def test_a_row_that_was_typed_by_hand_is_kept(site, tmp_path):
    """Also without its end, and incomplete."""
    site.found = {"cat": names(3)}
    assert collect(site, tmp_path, "flickr", "cat", "--count", 2).returncode == 0
    table = tmp_path / "collected" / "calico" / "attribution.csv"
    table.write_bytes(table.read_bytes() + b"mine.jpg,,me,CC0")
    before = table.read_bytes()
    assert collect(site, tmp_path, "flickr", "cat", "--count", 3).returncode == 0
    assert table.read_bytes().startswith(before + b"\n") and len(Collection(table.parent).without_row) == 0


def test_a_photo_the_reader_removed_stays_removed_and_is_replaced_by_another(site, tmp_path):
    site.found = {"cat": names(12)}
    flags = ("flickr", "cat", "--count", 10)
    assert collect(site, tmp_path, *flags).returncode == 0
    folder = tmp_path / "collected" / "calico"
    removed = rows(tmp_path)[4]["file"]
    (folder / removed).unlink()
    (folder / "mine.jpg").write_bytes(picture("mine"))
    done = collect(site, tmp_path, *flags)
    assert done.returncode == 0 and "earlier, not downloaded again: 1\n" in done.stdout
    assert "whose license is unknown: 1\n" in done.stdout and (folder / "mine.jpg").read_bytes() == picture("mine")
    assert not (folder / removed).exists() and len(rows(tmp_path)) == 11
    assert set(site.photos().values()) == {1}


# Errors


def test_errors_are_one_sentence_each(site, tmp_path, sentence):
    site.found = {"cat": [], "rights reserved": []}
    cases = (
        ("flickr", ("cat", "--api-key", "bad"), "check FLICKR_API_KEY or --api-key"),
        ("flickr", ("cat", "--api-key", ""), "Flickr needs a key: set FLICKR_API_KEY"),
        ("bing", ("cat",), "there is no source 'bing': --source takes flickr or openverse"),
        ("flickr", ("cat",), "nothing was found for 'cat'"),
        ("flickr", ("cat", "--api-url", f"{site.url}/nowhere/"), "status 404): check --api-url"),
        ("flickr", ("cat", "--api-url", f"{site.url}/photo/1"), "not JSON: check --api-url"),
        ("flickr", ("cat", "--api-url", "flickr"), "--api-url flickr is not a web address"),
        ("flickr", ("cat", "--api-url", "http://127.0.0.1:9/"), "Flickr is not available"),
        *(
            ("flickr", ("cat", "--class", name), "cannot be a folder's name")
            for name in ("", "..", "a/b", ".a", "a\\b")
        ),
    )
    for source, flags, words in cases:
        done = collect(site, tmp_path, source, *flags)
        assert words in sentence(done), flags
        assert "good" not in done.stderr and "bad" not in done.stderr, "the key is nobody's business"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer, words", [("deep", "is not JSON"), ("infinite", "has an unknown form")])
def test_responses_that_no_service_sends_are_one_sentence(site, answer, words):
    web, url = Downloader(local_allowed=True), f"{site.url}/photo/1:{answer}"
    for source in (Flickr(web, url, "good"), Openverse(web, url)):
        with pytest.raises(TutorialError, match=f"{source.service}'s response {words}"):
            list(source.search("cat"))


def test_two_runs_do_not_use_one_folder(site, tmp_path, sentence):
    site.found, site.delay = {"cat": names(8)}, 1
    flags = ("openverse", "cat", "--count", 8)
    process = subprocess.Popen(**command(site, tmp_path, *flags))
    wait_for(process, site.photos)
    assert "another run is using" in sentence(collect(site, tmp_path, *flags))
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and errors == ""
    assert len(sound(tmp_path)) == 8 and set(site.photos().values()) == {1}
    assert photo_files(tmp_path, "collected") == [f"collected/calico/openverse-{i}.jpg" for i in range(8)]


def test_another_table_in_the_way_is_not_written_to(tmp_path):
    folder = tmp_path / "collected" / "calico"
    folder.mkdir(parents=True)
    (folder / "attribution.csv").write_text("my;own;table\n1;2;3\n")
    with pytest.raises(TutorialError, match=r"attribution\.csv does not begin with the columns file,source_page"):
        Collection(folder)
    assert (folder / "attribution.csv").read_text() == "my;own;table\n1;2;3\n"


def test_a_missing_package_is_named():
    code = "import sys; sys.path.insert(0, 'data'); sys.modules['requests'] = None; import collect"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith('error: collecting photos needs the package requests: run "make data-tools"')
    assert len(done.stderr.splitlines()) == 1
