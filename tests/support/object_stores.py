"""Object stores on the loopback interface: MinIO and an emulator of Google's store.

A proxy in front of a store can cut its connections.
"""

import contextlib
import json
import os
import pathlib
import secrets
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from gcp_storage_emulator.server import create_server

from tests.conftest import ROOT
from transforms.storage.clients import open_bucket

MINIO = ROOT / "build" / "bin" / "minio"
KEY, SECRET = "test-key", "test-secret-0123456789"
# Far longer than anything takes on a busy machine: a server starts in half a second.
_START_S = 120


def free_port() -> int:
    """A port that no program uses.

    Programs that ask the system for any port get one from 32768 to 60999 (on Linux).
    The port is none of these, so that no such program takes it before the server of a
    test has started.
    """
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", secrets.choice(range(20_000, 32_000))))
            return int(probe.getsockname()[1])


def require_minio() -> None:
    if not MINIO.is_file():
        pytest.skip(f"no {MINIO}: 'make minio' builds it, which needs Go")


@contextlib.contextmanager
def running_minio(folder: pathlib.Path) -> Iterator[str]:
    """A MinIO server; yields its URL."""
    require_minio()
    port = free_port()
    process = subprocess.Popen(
        [MINIO, "server", folder / "data", "--address", f"127.0.0.1:{port}"],
        env={
            **os.environ,
            "HOME": str(folder),
            "MINIO_ROOT_USER": KEY,
            "MINIO_ROOT_PASSWORD": SECRET,
            "MINIO_BROWSER": "off",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/minio/health/live")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait_until_up(url: str) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)


def s3_environment(url: str) -> dict[str, str]:
    """Environment variables for an S3 store that is not Amazon's."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


@contextlib.contextmanager
def environment(**values: str | None) -> Iterator[None]:
    """Sets variables for this process and its children, and opens new connections."""
    open_bucket.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
        yield
    open_bucket.cache_clear()


def make_s3_bucket(bucket: str) -> None:
    import pyarrow.fs as pafs

    url = os.environ["AWS_ENDPOINT_URL"]
    pafs.S3FileSystem(
        endpoint_override=url.partition("://")[2],
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
    ).create_dir(bucket)


@contextlib.contextmanager
def running_google() -> Iterator[str]:
    """An emulator of Google Cloud Storage; yields its URL."""
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    try:
        _wait_until_answers(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def _wait_until_answers(url: str) -> None:
    with contextlib.suppress(urllib.error.HTTPError):
        _wait_until_up(url)


def make_google_bucket(url: str, bucket: str) -> None:
    request = urllib.request.Request(
        f"{url}/storage/v1/b?project=test",
        data=json.dumps({"name": bucket}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=_START_S).close()


class CuttingProxy:
    """Forwards a limited number of bytes; after them every connection is cut.

    Attributes:
        url: URL of the proxy.
        cut_after: Number of bytes that may still go to the server; None for no limit.
        cut_answers_after: Number of bytes that may still come from the server; None
            for no limit.
        stalls: True to keep connections open after the limit and forward no byte,
            instead of cutting them.
    """

    def __init__(self, server_url: str) -> None:
        host, _, port = server_url.partition("://")[2].partition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut_after: int | None = None
        self.cut_answers_after: int | None = None
        self.stalls = False
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                for pair, limit in (
                    ((client, server), "cut_after"),
                    ((server, client), "cut_answers_after"),
                ):
                    threading.Thread(
                        target=self._forward, args=(*pair, limit), daemon=True
                    ).start()

    def _forward(
        self, source: socket.socket, target: socket.socket, limit: str
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                allowed = self._allowed(limit, len(data))
                target.sendall(data[:allowed])
                if allowed < len(data):
                    if self.stalls:
                        return
                    break
        for connection in (source, target):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _allowed(self, limit: str, num_bytes: int) -> int:
        with self._lock:
            left: int | None = getattr(self, limit)
            if left is not None:
                num_bytes = min(num_bytes, left)
                setattr(self, limit, left - num_bytes)
            return num_bytes
