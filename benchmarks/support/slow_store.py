"""A proxy that delays every request to a store, as a network does, and counts them."""

import asyncio
import collections
import contextlib
import threading
from collections.abc import Iterator

_END = b"\r\n\r\n"
_BLOCK_BYTES = 1 << 18
_START_S = 10


class SlowStore:
    """Forwards the requests of any number of connections, each after a delay.

    Requests of one connection follow each other, as HTTP/1.1 has it. Those of different
    connections are delayed at the same time.

    Attributes:
        url: URL of the proxy.
        num_requests: Number of requests by kind: LIST, or the name of the method.
        most_at_once: Largest number of requests that were delayed at the same time.
    """

    def __init__(self, server_url: str, delay_s: float) -> None:
        host, _, port = server_url.partition("://")[2].partition(":")
        self._server = (host, int(port))
        self._delay_s = delay_s
        self._waiting = 0
        self.url = ""
        self.reset()

    def reset(self) -> None:
        self.num_requests: collections.Counter[str] = collections.Counter()
        self.most_at_once = 0

    async def serve(self, is_up: threading.Event) -> None:
        server = await asyncio.start_server(
            self._connect, "127.0.0.1", limit=_BLOCK_BYTES
        )
        self.url = "http://{}:{}".format(*server.sockets[0].getsockname())
        is_up.set()
        await server.serve_forever()

    async def _connect(
        self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        server, to_server = await asyncio.open_connection(*self._server)
        answers = asyncio.create_task(_forward_all(server, to_client))
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    await self._forward_request(client, to_server)
        finally:
            to_server.close()
            answers.cancel()
            to_client.close()

    async def _forward_request(
        self, client: asyncio.StreamReader, to_server: asyncio.StreamWriter
    ) -> None:
        head = await client.readuntil(_END)
        self._waiting += 1
        self.most_at_once = max(self.most_at_once, self._waiting)
        await asyncio.sleep(self._delay_s)
        self._waiting -= 1
        self.num_requests[_kind(head)] += 1
        to_server.write(head)
        if _header(head, b"transfer-encoding") == b"chunked":
            while await _forward_chunk(client, to_server):
                pass
        else:
            length = int(_header(head, b"content-length") or 0)
            await _forward(client, to_server, length)


async def _forward_chunk(
    source: asyncio.StreamReader, target: asyncio.StreamWriter
) -> bool:
    """Forwards a chunk and its size; False for the end, which may have trailers."""
    line = await source.readline()
    target.write(line)
    size = int(line.partition(b";")[0], 16)
    if size:
        await _forward(source, target, size + len(b"\r\n"))
        return True
    while line.strip():
        line = await source.readline()
        target.write(line)
    return False


async def _forward(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, num_bytes: int
) -> None:
    while num_bytes:
        data = await source.read(min(num_bytes, _BLOCK_BYTES))
        if not data:
            raise ConnectionError
        num_bytes -= len(data)
        target.write(data)
        await target.drain()


async def _forward_all(
    source: asyncio.StreamReader, target: asyncio.StreamWriter
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(_BLOCK_BYTES):
            target.write(data)
            await target.drain()
        target.close()


def _header(head: bytes, name: bytes) -> bytes:
    """The value of a header, in lower case; empty if there is none."""
    for line in head.lower().split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key == name:
            return value.strip()
    return b""


def _kind(head: bytes) -> str:
    method, target = head.split(b" ", 2)[:2]
    return "LIST" if b"list-type=" in target else method.decode("ascii")


@contextlib.contextmanager
def running_slow_store(server_url: str, delay_s: float) -> Iterator[SlowStore]:
    """Runs a proxy in a thread of this process."""
    proxy = SlowStore(server_url, delay_s)
    loop = asyncio.new_event_loop()
    is_up = threading.Event()

    def serve() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    task = loop.create_task(proxy.serve(is_up))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert is_up.wait(_START_S), "the proxy did not start"
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
