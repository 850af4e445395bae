"""Downloads one file over HTTP into a part file, and goes on where it was cut off.

By the standard library: all that is hard here (going on, never gluing two versions
together, limits) would be ours with any HTTP library, too.
"""

import dataclasses
import http.client
import json
import pathlib
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import IO, Any

from pipeline.errors import ConfigError

_CHUNK_BYTES = 1 << 16
_OTHER_WAY = "get it in another way and give its folder with --from"
# Trying again within seconds would not help.
_LASTING = (socket.gaierror, ConnectionRefusedError, ssl.SSLError, str)


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long and how often to try, and how much to take.

    Attributes:
        timeout_s: To wait for a connection, and for the next bytes.
        total_s: For one file, with all attempts.
        attempts: Connections before giving up.
        backoff_s: Before the second attempt; doubled before each further one.
        max_bytes: Of one file.
    """

    timeout_s: float = 30.0
    total_s: float = 3600.0
    attempts: int = 5
    backoff_s: float = 1.0
    max_bytes: int = 200_000_000


# Gets the bytes that are there, and the size of the file if it is known.
OnBytes = Callable[[int, int | None], None]


@dataclasses.dataclass(frozen=True)
class _Download:
    """What to bring where; `deadline` by time.monotonic."""

    url: str
    part: pathlib.Path
    limits: Limits
    deadline: float
    on_bytes: OnBytes


class _LostError(Exception):
    """An attempt failed in a way that another one may mend."""


class _NotThereError(Exception):
    """The server says that there is no such file."""


def download(url: str, part: pathlib.Path, limits: Limits, on_bytes: OnBytes) -> bool:
    """Downloads a file, or the rest of it if a part from the same URL is there.

    A part is only gone on with if the server confirms that the file is unchanged (by
    ETag or date, kept in a file beside the part).

    Args:
        url: http or https.
        part: Where to; not the final name.
        limits: How long, how often, how much.
        on_bytes: Called whenever something came.

    Returns:
        True if `part` is complete by what the server says; False if there is no such
        file (404).

    Raises:
        ConfigError: if it cannot be had; what came is kept in `part`.
        OSError: if `part` cannot be written.
    """
    job = _Download(url, part, limits, time.monotonic() + limits.total_s, on_bytes)
    lost = ""
    for attempt in range(limits.attempts):
        if attempt:
            time.sleep(limits.backoff_s * 2 ** (attempt - 1))
        try:
            headers = _resume_headers(job)
            with _open(job, headers) as response:
                _receive(job, response, headers)
            return True
        except _NotThereError:
            return False
        except _LostError as error:
            lost = str(error)
    raise ConfigError(
        f"cannot download {url}: {lost} ({limits.attempts} attempts); run the same "
        "command again to go on from there"
    )


def discard(part: pathlib.Path) -> None:
    """Removes a part file and what is known of its source."""
    part.unlink(missing_ok=True)
    _source_file(part).unlink(missing_ok=True)


class _HttpRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to HTTP only, and from HTTPS to HTTPS only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urllib.parse.urlsplit(newurl).scheme not in allowed:
            raise ConfigError(
                f"{req.full_url} redirects to {newurl}, "
                f"expected an address that begins with {' or '.join(allowed)}"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(job: _Download, headers: Mapping[str, str]) -> Any:
    opener = urllib.request.build_opener(_HttpRedirects)
    try:
        request = urllib.request.Request(job.url, headers=dict(headers))
        return opener.open(request, timeout=job.limits.timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        raise _http_error(job, error) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, _LASTING):
            raise ConfigError(
                f"cannot download {job.url}: {error.reason}; {_OTHER_WAY}"
            ) from error
        raise _LostError(str(error.reason)) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise ConfigError(f"{job.url} is not a usable address: {error}") from error
    except (http.client.HTTPException, OSError) as error:
        raise _LostError(str(error) or type(error).__name__) from error


def _http_error(job: _Download, error: urllib.error.HTTPError) -> Exception:
    if error.code in (404, 410):
        return _NotThereError()
    text = f"HTTP {error.code} {error.reason}"
    if error.code == 416:
        # The file has become shorter than the part.
        discard(job.part)
        return _LostError(text)
    if error.code == 429 or error.code >= 500:
        return _LostError(text)
    return ConfigError(f"cannot download {job.url}: {text}; {_OTHER_WAY}")


def _resume_headers(job: _Download) -> dict[str, str]:
    """Asks for the rest of the part that is there, if any."""
    try:
        known = json.loads(_source_file(job.part).read_text(encoding="utf-8"))
        url, validator = known
        num_bytes = job.part.stat().st_size
    except (OSError, ValueError, TypeError):
        return {}
    if url != job.url or not validator or not num_bytes:
        return {}
    return {"Range": f"bytes={num_bytes}-", "If-Range": validator}


def _receive(job: _Download, response: Any, headers: Mapping[str, str]) -> None:
    """Appends the body to the part, or begins the part anew."""
    received = _begin(job, response, headers)
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
        raise _LostError(f"connection lost after {received:,} of {total:,} bytes")


def _check_limits(job: _Download, num_bytes: int) -> None:
    limits = job.limits
    if num_bytes > limits.max_bytes:
        discard(job.part)
        raise ConfigError(
            f"{job.url} has more than {limits.max_bytes / 1e6:,.0f} MB, "
            "expected a model or its metadata"
        )
    if time.monotonic() > job.deadline:
        raise ConfigError(
            f"{job.url} was not there after {limits.total_s:,.0f} s; run the same "
            "command again to go on from there"
        )


def _begin(job: _Download, response: Any, headers: Mapping[str, str]) -> int:
    """Makes the part ready for the body; how many bytes of it stay."""
    validator = _validator(response.headers)
    if response.status != 206:
        job.part.write_bytes(b"")
        content = json.dumps([job.url, validator])
        _source_file(job.part).write_text(content, encoding="utf-8")
        return 0
    num_bytes = job.part.stat().st_size
    follows = f"bytes {num_bytes}-"
    same = validator in ("", headers.get("If-Range"))
    if not same or not response.headers.get("Content-Range", "").startswith(follows):
        discard(job.part)
        raise _LostError("the file has changed at the server")
    return num_bytes


def _validator(headers: Mapping[str, str]) -> str:
    """What identifies this version of the file; weak ETags do not."""
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return headers.get("Last-Modified", "")


def _read(response: Any, num_bytes: int) -> bytes:
    try:
        chunk: bytes = response.read1(num_bytes)
        return chunk
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise _LostError(str(error) or type(error).__name__) from error


def _source_file(part: pathlib.Path) -> pathlib.Path:
    return part.with_name(f"{part.name}.source")
