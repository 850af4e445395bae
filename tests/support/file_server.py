"""A web server on the loopback interface that serves files, with faults on request."""

import dataclasses
import hashlib
import http.server
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@dataclasses.dataclass
class Request:
    """A request that the server received, and the number of file bytes it sent."""

    path: str
    range: str | None
    if_range: str | None
    num_sent: int = 0


Fault = Callable[["Handler", bytes, Request], None]


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files`. Each request for a path uses up the next of its `faults`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.requests: list[Request] = []
        self.knows_range = True
        self.respects_if_range = True
        # Handlers that hang wait for this event, which is set after every test.
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def asked_for(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Prints nothing: clients that close the connection are part of the tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        request = Request(self.path, self.headers["Range"], self.headers["If-Range"])
        self.server.requests.append(request)
        data = self.server.files.get(self.path)
        faults = self.server.faults.get(self.path)
        if faults:
            faults.pop(0)(self, data or b"", request)
        elif data is None:
            self.send_error(404)
        else:
            self.send_file(data, request)

    def send_file(self, data: bytes, request: Request, num_sent: int = -1) -> None:
        """Sends a file or the requested range; at most `num_sent` bytes unless < 0."""
        server, etag, start = self.server, etag_of(data), 0
        is_same = request.if_range == etag or not server.respects_if_range
        if request.range and server.knows_range and is_same:
            (digits,) = re.fullmatch(r"bytes=(\d+)-", request.range).groups()  # type: ignore[union-attr]
            start = int(digits)
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            end = f"{len(data) - 1}/{len(data)}"
            self.send_header("Content-Range", f"bytes {start}-{end}")
        else:
            self.send_response(200)
        body = data[start:]
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", etag)
        self.end_headers()
        sent = body if num_sent < 0 else body[:num_sent]
        request.num_sent = len(sent)
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing."""


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def cut_off(num_bytes: int) -> Fault:
    """Announces the whole file, sends `num_bytes`, and closes the connection."""
    return lambda handler, data, request: handler.send_file(data, request, num_bytes)


def hang(handler: Handler, data: bytes, request: Request) -> None:
    """Sends the first 1,000 bytes, and the rest only when the server is released."""
    handler.send_file(data, request, 1000)
    handler.server.release.wait(60)
    handler.wfile.write(data[1000:])


def status(code: int, location: str | None = None) -> Fault:
    """Answers with a status code and no file."""

    def fault(handler: Handler, data: bytes, request: Request) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        if location:
            handler.send_header("Location", location)
        handler.end_headers()

    return fault


def without_length(handler: Handler, data: bytes, request: Request) -> None:
    """Sends the file until the connection ends, as HTTP/1.0 allows."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def running_server() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.release.set()
            server.shutdown()
            thread.join()


def huge(handler: Handler, data: bytes, request: Request) -> None:
    """Announces 10 GB, and sends bytes until the client closes the connection."""
    handler.send_response(200)
    handler.send_header("Content-Length", "10000000000")
    handler.end_headers()
    _send_zeros(handler)


def endless(handler: Handler, data: bytes, request: Request) -> None:
    """Announces no length, and sends bytes until the client closes the connection."""
    handler.send_response(200)
    handler.end_headers()
    _send_zeros(handler)


def _send_zeros(handler: Handler) -> None:
    # The client should close the connection long before this limit of 100 MB.
    for _ in range(1000):
        handler.wfile.write(bytes(100_000))


def trickle(handler: Handler, data: bytes, request: Request) -> None:
    """Sends one byte at a time, each within the client's timeout."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.release.wait(0.02):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def wrong_length(handler: Handler, data: bytes, request: Request) -> None:
    """Announces 100 bytes more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data) + 100))
    handler.end_headers()
    handler.wfile.write(data)
