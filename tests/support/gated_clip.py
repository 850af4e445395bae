"""A clip on a web server that workers can read only while a gate is open."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from tests.support.file_server import FileServer, Handler, Request, running_server
from tests.support.processes import DEADLINE_S

# No read of the clip may end because it took too long.
READ_TIMEOUT_S = 10 * DEADLINE_S


class GatedClip:
    """While the gate is closed, the worker that takes the clip stays at work on it.

    Its shard cannot be committed, so that the run cannot end, however fast or slow the
    machine is.

    Attributes:
        uri: Address of the clip.
    """

    def __init__(self, server: FileServer, data: bytes) -> None:
        self._is_open = threading.Event()
        self._is_open.set()
        path = "/gated.wav"
        self.uri = f"{server.url}{path}"
        server.files[path] = data
        # The server takes one handler for each request.
        server.faults[path] = [self._send] * 1000

    def close(self) -> None:
        self._is_open.clear()

    def open(self) -> None:
        self._is_open.set()

    def _send(self, handler: Handler, data: bytes, request: Request) -> None:
        self._is_open.wait(READ_TIMEOUT_S)
        handler.send_file(data, request)


@contextlib.contextmanager
def serving_gated_clip(data: bytes) -> Iterator[GatedClip]:
    """Serves a clip, and lets runs that are started meanwhile wait for it."""
    with pytest.MonkeyPatch.context() as patch, running_server() as server:
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setenv("FSDSINET_TIMEOUT_S", str(READ_TIMEOUT_S))
        clip = GatedClip(server, data)
        try:
            yield clip
        finally:
            clip.open()
