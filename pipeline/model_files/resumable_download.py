"""Downloads one file over HTTP into a part file, and resumes after an interruption.

`transforms.storage` sends the requests and follows redirects. This module resumes a
download, and makes sure that a file never consists of pieces of two versions.
"""

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Mapping

from urllib3.exceptions import HTTPError, IncompleteRead

from pipeline.errors import ConfigError
from transforms.storage import Limits, StorageError, shown
from transforms.storage.web import LostError, Response, WebStore, words_of

LIMITS = Limits(total_s=3600.0, attempts=5, backoff_s=1.0, max_bytes=200_000_000)
_CHUNK_BYTES = 1 << 16
_OTHER_WAY = "download the model in another way, and give its folder with --from"
# HTTP status: the requested range begins behind the end of the file.
_RANGE_NOT_SATISFIABLE = 416


# Called with the number of bytes received, and the size of the file if it is known.
OnBytes = Callable[[int, int | None], None]


@dataclasses.dataclass(frozen=True)
class _Download:
    """One download; `deadline` is a value of time.monotonic."""

    url: str
    part: pathlib.Path
    limits: Limits
    deadline: float
    on_bytes: OnBytes


class _NotFoundError(Exception):
    """The server says that there is no such file."""


def download(url: str, part: pathlib.Path, limits: Limits, on_bytes: OnBytes) -> bool:
    """Downloads a file, or the rest of a file whose part came from the same URL.

    A download is resumed only if the server confirms that the file is unchanged, by its
    ETag or date, which are kept in a file beside the part.

    Args:
        url: Address of the file, http or https.
        part: File to write; not the final name.
        limits: Times, number of attempts and size.
        on_bytes: Called after each piece.

    Returns:
        True if `part` is as long as the server says; False if there is no such file
        (404).

    Raises:
        ConfigError: if the file cannot be downloaded; `part` keeps the bytes received.
        OSError: if `part` cannot be written.
    """
    job = _Download(url, part, limits, time.monotonic() + limits.total_s, on_bytes)
    web, lost = WebStore(limits), ""
    for attempt in range(limits.attempts):
        if attempt:
            time.sleep(limits.backoff_s * 2 ** (attempt - 1))
        try:
            headers = _resume_headers(job)
            with contextlib.closing(_open(job, web, headers)) as response:
                _receive(job, response, headers)
            return True
        except _NotFoundError:
            return False
        except LostError as error:
            lost = str(error)
    raise ConfigError(
        f"cannot download {shown(url)}: {lost} ({limits.attempts} attempts); run the "
        "same command again to resume the download"
    )


def discard(part: pathlib.Path) -> None:
    """Removes a part file and the file beside it that states its source."""
    part.unlink(missing_ok=True)
    _source_file(part).unlink(missing_ok=True)


def _open(job: _Download, web: WebStore, headers: Mapping[str, str]) -> Response:
    try:
        response = web.get(
            job.url, headers, accepted=(200, 206, _RANGE_NOT_SATISFIABLE)
        )
    except StorageError as error:
        if error.kind == "not_found":
            raise _NotFoundError from error
        raise ConfigError(
            f"cannot download {error.uri}: {error.problem}; {_OTHER_WAY}"
        ) from error
    except LostError as error:
        if error.is_lasting:
            raise ConfigError(
                f"cannot download {shown(job.url)}: {error}; {_OTHER_WAY}"
            ) from error
        raise
    if response.status == _RANGE_NOT_SATISFIABLE:
        response.close()
        # The file has become shorter than the part.
        discard(job.part)
        raise LostError("the file changed on the server")
    return response


def _resume_headers(job: _Download) -> dict[str, str]:
    """Returns headers that ask for the rest of a part; none if there is no part."""
    try:
        known = json.loads(_source_file(job.part).read_text(encoding="utf-8"))
        url, validator = known
        num_bytes = job.part.stat().st_size
    except (OSError, ValueError, TypeError):
        return {}
    if url != job.url or not validator or not num_bytes:
        return {}
    return {"Range": f"bytes={num_bytes}-", "If-Range": validator}


def _receive(job: _Download, response: Response, headers: Mapping[str, str]) -> None:
    """Appends the body to the part, or starts a new part."""
    received = _prepare_part(job, response, headers)
    length = response.headers.get("Content-Length", "")
    total = received + int(length) if length.isdecimal() else None
    _check_limits(job, total or 0)
    with job.part.open("ab") as file:
        while total is None or received < total:
            wanted = _CHUNK_BYTES if total is None else total - received
            chunk = _read(response, min(_CHUNK_BYTES, wanted))
            if not chunk:
                break
            file.write(chunk)
            received += len(chunk)
            _check_limits(job, received)
            job.on_bytes(received, total)
    if total is not None and received < total:
        raise LostError(f"connection lost after {received:,} of {total:,} bytes")


def _check_limits(job: _Download, num_bytes: int) -> None:
    limits = job.limits
    if num_bytes > limits.max_bytes:
        discard(job.part)
        raise ConfigError(
            f"cannot download {shown(job.url)}: it has more than "
            f"{limits.max_bytes / 1e6:,.0f} MB, expected a model or its metadata"
        )
    if time.monotonic() > job.deadline:
        raise ConfigError(
            f"cannot download {shown(job.url)}: not complete after "
            f"{limits.total_s:,.0f} s; run the same command again to resume the "
            "download"
        )


def _prepare_part(
    job: _Download, response: Response, headers: Mapping[str, str]
) -> int:
    """Empties the part unless the body continues it; returns its size in bytes."""
    validator = _validator(response.headers)
    if response.status != 206:
        job.part.write_bytes(b"")
        content = json.dumps([job.url, validator])
        _source_file(job.part).write_text(content, encoding="utf-8")
        return 0
    num_bytes = job.part.stat().st_size
    expected = f"bytes {num_bytes}-"
    is_same = validator in ("", headers.get("If-Range"))
    content_range = response.headers.get("Content-Range", "")
    if not is_same or not content_range.startswith(expected):
        discard(job.part)
        raise LostError("the file changed on the server")
    return num_bytes


def _validator(headers: Mapping[str, str]) -> str:
    """Returns what identifies this version of the file: a strong ETag or a date."""
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified", "")


def _read(response: Response, num_bytes: int) -> bytes:
    """Returns the next bytes; none at the end or if the connection is lost."""
    try:
        return response.read1(num_bytes, decode_content=False)
    except HTTPError as error:
        if error.args and isinstance(error.args[-1], IncompleteRead):
            return b""
        raise LostError(words_of(error)) from error


def _source_file(part: pathlib.Path) -> pathlib.Path:
    return part.with_name(f"{part.name}.source")
