"""Finds the reason of a failed job in its log, and says it without Beam's wrapping.

Beam raises an exception of a step again as `RuntimeError: NAME: MESSAGE [while running
'STEP']`, once in the worker and once in the job process, with both tracebacks.
"""

import dataclasses
import errno
import os
import re
from collections.abc import Iterator

# The last line of a traceback. A name in dots or with one of these endings; a log line
# such as `WARNING:root:text` has no space after its colon.
_RAISED = re.compile(
    r"^(?:RuntimeError: )*"
    r"(?P<name>(?:\w+\.)*\w+(?:Error|Exception|Interrupt|Exit)|(?:\w+\.)+\w+)"
    r"(?:: (?P<message>.*?))?"
    r"(?: \[while running '(?P<step>[^']*)'\])?$"
)
_STEP = re.compile(r" \[while running '([^']*)'\]$")
# Where a message of several lines is over: a blank line, a traceback or a log record.
_OTHER = re.compile(r"\s*$|Traceback \(|\s+File \"|(?:DEBUG|INFO|WARNING|ERROR):")
# Their messages say what was found and what to do; the name adds nothing.
_OURS = ("StorageError", "PermitError", "ModelError", "ConfigError", "DatasetError")
_OS_ERROR = re.compile(r"\[Errno (?P<number>\d+)\] [^:]*(?:: '(?P<file>[^']*)')?")
_REMEDIES = {
    errno.ENOSPC: "free space on the disk",
    errno.EDQUOT: "free space, or raise your disk quota",
    errno.EROFS: "the disk became read-only: mount it writable",
    errno.EACCES: "check the permissions of the folder",
    errno.EPERM: "check the permissions of the folder",
    errno.ENOENT: "check that nothing was removed or renamed during the run",
    errno.ENOTDIR: "check that no file took the place of a folder during the run",
    errno.EIO: "the disk or the network failed: check it",
    errno.ESTALE: "the network disk was lost: mount it again",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "memory ran out: try fewer --workers",
}


@dataclasses.dataclass(frozen=True)
class _Raised:
    """An exception, as the last lines of its traceback show it.

    Attributes:
        name: Name of the class without its module.
        message: Text of the exception; empty if it has none.
        step: Step of the pipeline that raised it; empty if Beam names none.
    """

    name: str
    message: str
    step: str


def plain_reason(log: str) -> str:
    """Returns why a job failed, in one sentence where that is possible.

    Args:
        log: Everything that the job process and its workers printed.

    Returns:
        The last exception in the log that a step of the pipeline raised, or else the
        last exception, or else the last line; empty for an empty log.
    """
    last: _Raised | None = None
    last_of_step: _Raised | None = None
    lines = log.splitlines()
    for raised in _exceptions(lines):
        last = raised
        if raised.step:
            last_of_step = raised
    found = last_of_step or last
    if found is None:
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return _words(found)


def plain_error(error: Exception) -> str:
    """Returns the message of an exception, in the same words as `plain_reason`."""
    if isinstance(error, OSError) and error.errno is not None:
        return _words(_Raised(type(error).__name__, str(error), step=""))
    return str(error)


def _exceptions(lines: list[str]) -> Iterator[_Raised]:
    for index, line in enumerate(lines):
        match = _RAISED.match(line)
        if not match or match["message"] == "Traceback (most recent call last):":
            # Beam puts a whole traceback into a RuntimeError; its last line follows.
            continue
        name = match["name"].rpartition(".")[2]
        message, step = match["message"] or "", match["step"] or ""
        rest = [] if step else _rest_of_message(lines, index + 1)
        if rest:
            marked = _STEP.search(rest[-1])
            step = marked[1] if marked else ""
            message = _STEP.sub("", "\n".join([message, *rest]))
        yield _Raised(name, message.strip(), step)


def _rest_of_message(lines: list[str], start: int) -> list[str]:
    """Returns the further lines of a message that has several."""
    rest: list[str] = []
    for line in lines[start:]:
        if _OTHER.match(line) or _RAISED.match(line):
            break
        rest.append(line)
        if _STEP.search(line):
            break
    return rest


def _words(raised: _Raised) -> str:
    message = raised.message
    system = _OS_ERROR.search(message)
    if system:
        what = _system_words(message[: system.start()], system, raised.step)
        remedy = _REMEDIES.get(int(system["number"]))
        return f"{what}; {remedy}" if remedy else what
    if raised.name in _OURS and message:
        return message
    what = ": ".join(part for part in (raised.name, message) if part)
    return f"{what} (in step {raised.step})" if raised.step else what


def _system_words(before: str, system: re.Match[str], step: str) -> str:
    """Names the file once, and the problem in the system's words."""
    words = os.strerror(int(system["number"]))
    words = words[0].lower() + words[1:]
    if before:
        # StorageError has named the file; the system may name a temporary one.
        return f"{before}{words}"
    if system["file"]:
        return f"{system['file']}: {words}"
    if step.startswith("CommitShard/"):
        return f"the output cannot be written: {words}"
    return f"{words} (in step {step})" if step else words
