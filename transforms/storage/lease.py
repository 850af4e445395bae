"""A lock for stores that have none: an object that its holder keeps renewing.

Who finds one waits whether it changes. It does if its holder lives; a killed run's does
not, and after a while it is taken over. If the holder was on this machine nobody waits.
Clocks are not compared. Two runs that begin within a moment are told apart by who wrote
last. A holder that was asleep for longer may lose it: then it ends.
"""

import contextlib
import json
import os
import pathlib
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from transforms.storage.errors import StorageError

RENEW_S = 5.0
LEASE_S = 20.0
_SETTLE_S = 0.5


class _Files(Protocol):
    def read(self, uri: str) -> bytes: ...

    def publish(self, uri: str) -> contextlib.AbstractContextManager[Any]: ...

    def delete(self, uri: str) -> None: ...


@contextlib.contextmanager
def lease(files: _Files, uri: str, say: Callable[[str], None]) -> Iterator["Lease"]:
    """Holds the lock at `uri` until the block ends.

    Raises:
        StorageError: locked, if another run has it.
    """
    held = Lease(files, uri)
    held.take(say)
    renewal = threading.Thread(target=held.keep, daemon=True)
    renewal.start()
    try:
        yield held
    finally:
        held.stop.set()
        renewal.join(RENEW_S)
        with contextlib.suppress(StorageError):
            if held.is_held():
                files.delete(uri)


def is_leased(files: _Files, uri: str) -> bool:
    """True if there is a lock, unless its holder was on this machine and is gone."""
    found = _content(files, uri)
    return found is not None and _holder_lives(found) is not False


class Lease:
    """One lock of this process."""

    def __init__(self, files: _Files, uri: str) -> None:
        self.stop = threading.Event()
        self._files = files
        self._uri = uri
        self._token = uuid.uuid4().hex
        self._count = 0

    def take(self, say: Callable[[str], None]) -> None:
        found = self._read()
        if found is not None:
            lives = _holder_lives(found)
            if lives:
                raise self._locked()
            if lives is None:
                say(
                    f"waiting up to {LEASE_S:.0f} s: does the run live that has a lock?"
                )
                self._watch(found)
        self._write()
        # Somebody may have begun in the same moment.
        time.sleep(_SETTLE_S)
        if not self.is_held():
            raise self._locked()

    def is_held(self) -> bool:
        """True as long as nobody else has written the lock."""
        found = self._read()
        return found is not None and found.get("token") == self._token

    def keep(self) -> None:
        """Renews until the lock is given back; ends the process if it was taken."""
        while not self.stop.wait(RENEW_S):
            # The store may be back in a moment.
            with contextlib.suppress(StorageError):
                if not self.is_held():
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                self._write()

    def _watch(self, found: dict[str, Any]) -> None:
        deadline = time.monotonic() + LEASE_S
        while time.monotonic() < deadline:
            time.sleep(min(1.0, RENEW_S))
            now = self._read()
            if now is None:
                return
            if now != found:
                raise self._locked()

    def _locked(self) -> StorageError:
        return StorageError(
            "locked", self._uri, "another run is writing to it; wait or stop it"
        )

    def _read(self) -> dict[str, Any] | None:
        return _content(self._files, self._uri)

    def _write(self) -> None:
        self._count += 1
        content = {"token": self._token, "count": self._count, **_this_process()}
        with self._files.publish(self._uri) as file:
            file.write(json.dumps(content).encode("ascii"))


def _content(files: _Files, uri: str) -> dict[str, Any] | None:
    """What a lock says; None if there is none."""
    try:
        content = json.loads(files.read(uri))
    except StorageError as error:
        if error.kind != "not_found":
            raise
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _this_process() -> dict[str, Any]:
    return {"machine": _machine(), "pid": os.getpid(), "start": _start(os.getpid())}


def _holder_lives(content: dict[str, Any]) -> bool | None:
    """Whether the holder's process runs; None if it is not of this machine."""
    machine, pid = content.get("machine"), content.get("pid")
    if machine != _machine() or not machine or not isinstance(pid, int):
        return None
    return _start(pid) is not None and _start(pid) == content.get("start")


def _machine() -> str | None:
    """Differs between machines, their starts, and containers that number processes."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        return f"{boot.strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _start(pid: int) -> str | None:
    """When a process began, None if there is none: numbers of processes come again."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    # Z: ended, and only not yet collected by its parent.
    return None if fields[0] == "Z" else fields[19]
