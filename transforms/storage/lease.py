"""A lock for buckets, which have no locks: an object that its holder keeps renewing.

A run that finds such an object watches whether it changes. If the object changes, its
holder is alive, and the run gives up. If the object does not change for LEASE_S, the
run takes the lock over. If the holder was on the same machine, its process is looked up
instead, without waiting. Clocks of machines are not compared. If two runs write the
lock at almost the same time, the last one to write has it. A holder that was suspended
may lose the lock to another run; it then ends itself.
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
# Longest time to wait for the end of a renewal that is under way.
_STOP_S = 5.0
# Time between writing a lock and reading it again to see who wrote last.
_SETTLE_S = 0.5


class _Files(Protocol):
    def read(self, uri: str) -> bytes: ...

    def publish(self, uri: str) -> contextlib.AbstractContextManager[Any]: ...

    def delete(self, uri: str) -> None: ...


@contextlib.contextmanager
def lease(files: _Files, uri: str, say: Callable[[str], None]) -> Iterator["Lease"]:
    """Holds the lock at `uri` until the block ends.

    Raises:
        StorageError: locked, if another run holds the lock.
    """
    held = Lease(files, uri)
    held.acquire(say)
    renewal = threading.Thread(target=held.renew_until_stopped, daemon=True)
    renewal.start()
    try:
        yield held
    finally:
        held.stop.set()
        renewal.join(_STOP_S)
        with contextlib.suppress(StorageError):
            # A write that is still under way would create the lock again.
            if not renewal.is_alive() and held.is_held():
                files.delete(uri)


def is_leased(files: _Files, uri: str) -> bool:
    """True if there is a lock, unless its holder was on this machine and has ended."""
    found = _read_lock(files, uri)
    return found is not None and _is_holder_alive(found) is not False


class Lease:
    """A lock that this process takes and holds."""

    def __init__(self, files: _Files, uri: str) -> None:
        self.stop = threading.Event()
        self._files = files
        self._uri = uri
        self._token = uuid.uuid4().hex
        self._count = 0

    def acquire(self, say: Callable[[str], None]) -> None:
        """Takes the lock, or raises StorageError if another run holds it."""
        found = self._read()
        if found is not None:
            is_alive = _is_holder_alive(found)
            if is_alive:
                raise self._locked()
            if is_alive is None:
                say(
                    "the output is locked; checking whether the run that locked it is "
                    f"still alive, for up to {LEASE_S:.0f} s"
                )
                self._wait_for_expiry(found)
        self._write()
        # Another run may have written the lock at the same moment.
        time.sleep(_SETTLE_S)
        if not self.is_held():
            raise self._locked()

    def is_held(self) -> bool:
        """True as long as no other run has written the lock."""
        found = self._read()
        return found is not None and found.get("token") == self._token

    def renew_until_stopped(self) -> None:
        """Renews the lock until `stop` is set; ends the process if the lock is lost."""
        while not self.stop.wait(RENEW_S):
            # The store may only be unreachable for a moment.
            with contextlib.suppress(StorageError):
                if not self.is_held():
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                self._write()

    def _wait_for_expiry(self, found: dict[str, Any]) -> None:
        """Returns when the lock is gone or was not renewed for LEASE_S."""
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
        return _read_lock(self._files, self._uri)

    def _write(self) -> None:
        self._count += 1
        content = {"token": self._token, "count": self._count, **_this_process()}
        with self._files.publish(self._uri) as file:
            file.write(json.dumps(content).encode("ascii"))


def _read_lock(files: _Files, uri: str) -> dict[str, Any] | None:
    """Content of a lock; None if there is no lock, empty if it is not valid."""
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
    pid = os.getpid()
    return {"machine": _machine(), "pid": pid, "start": _start_time(pid)}


def _is_holder_alive(content: dict[str, Any]) -> bool | None:
    """Whether the holder's process runs; None if it is on another machine."""
    machine, pid = content.get("machine"), content.get("pid")
    if machine != _machine() or not machine or not isinstance(pid, int):
        return None
    start = _start_time(pid)
    return start is not None and start == content.get("start")


def _machine() -> str | None:
    """Identifies this machine since its boot, and its namespace of process ids.

    None if the system does not tell.
    """
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        return f"{boot.strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _start_time(pid: int) -> str | None:
    """When a process started; None if it does not run.

    The start time is compared because process ids are reused.
    """
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    # Z is a zombie: the process has ended, but its parent has not collected it yet.
    return None if fields[0] == "Z" else fields[19]
