"""Reads files from web servers, one at a time; they cannot be listed or written.

urllib3 keeps connections open. Retries, redirects and limits are implemented here, so
that every failure gets a message that names its cause.
"""

import contextlib
import dataclasses
import functools
import io
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import BinaryIO, Literal, TypeVar, cast

import pyarrow as pa
import urllib3
from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from transforms.storage.errors import StorageError
from transforms.storage.ranges import WHOLE_BYTES, RangedFile
from transforms.storage.read_only import ReadOnlyStore
from transforms.storage.store import FileInfo, Limits, arrow_file, limits
from transforms.storage.uris import quoted_url, shown

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset([301, 302, 303, 307, 308])
_GOOD = frozenset([200, 206])
# The file is shorter than the range of the request.
_OUTSIDE = 416
_NOT_FOUND = frozenset([404, 410])
# Another attempt may help: the server, or a proxy on the way to it, is busy.
_TEMPORARY = frozenset([408, 425, 429, 500, 502, 503, 504])
_CHUNK_BYTES = 1 << 20
_HEADERS = {"User-Agent": "fsd-sinet-beam", "Accept-Encoding": "identity"}

Response = urllib3.BaseHTTPResponse
Result = TypeVar("Result")


class LostError(Exception):
    """An attempt failed, and another attempt may succeed.

    Attributes:
        is_lasting: Whether the next seconds will hardly help, because no connection
            could be made.
    """

    def __init__(self, words: str, is_lasting: bool = False) -> None:
        super().__init__(words)
        self.is_lasting = is_lasting


@dataclasses.dataclass(frozen=True)
class _Version:
    """What a server states about a file; it changes when the file changes."""

    size: int
    etag: str | None
    modified: str | None


class WebStore(ReadOnlyStore):
    """Files with http:// and https:// URLs."""

    def __init__(self, its_limits: Limits | None = None) -> None:
        self._limits = its_limits or limits()
        self._pools: dict[str | None, urllib3.PoolManager] = {}

    def _pool(self, proxy: str | None) -> urllib3.PoolManager:
        """Open connections; every proxy has its own."""
        if proxy not in self._pools:
            timeout_s = self._limits.timeout_s
            self._pools[proxy] = _open_pool(
                proxy, urllib3.Timeout(connect=min(10.0, timeout_s), read=timeout_s)
            )
        return self._pools[proxy]

    def read(self, uri: str) -> bytes:
        return self._try(uri, self._read_once)

    def open(self, uri: str) -> BinaryIO:
        """Opens a file; a large file is read in parts if the server sends parts."""
        return self._try(uri, self._open_once)

    def _open_once(self, url: str, deadline: float) -> BinaryIO:
        with contextlib.closing(self.get(url)) as response:
            version = _version_for_parts(response)
            if not version:
                return io.BytesIO(self._body(url, response, deadline))
        fetch = functools.partial(self._fetch, url, version)
        return cast(BinaryIO, RangedFile(version.size, fetch))

    def _fetch(self, url: str, version: "_Version", begin: int, end: int) -> bytes:
        return self._try(
            url, functools.partial(self._fetch_once, version=version, part=(begin, end))
        )

    def _fetch_once(
        self, url: str, deadline: float, version: "_Version", part: tuple[int, int]
    ) -> bytes:
        begin, end = part
        field = {"Range": f"bytes={begin}-{end - 1}"}
        accepted = _GOOD | {_OUTSIDE} | _NOT_FOUND
        with contextlib.closing(self.get(url, field, accepted)) as response:
            if response.status in _NOT_FOUND:
                raise _unreadable(url, "was removed while it was read")
            _check_part(url, response, version, begin, end)
            data = self._body(url, response, deadline)
        if len(data) != end - begin:
            raise LostError(f"got {len(data):,} of {end - begin:,} bytes")
        return data

    def open_arrow(self, uri: str) -> pa.NativeFile:
        return arrow_file(self.read(uri))

    def look_up(self, uri: str) -> FileInfo | Literal["folder"] | None:
        """Sends a GET request and does not read the body: some servers refuse HEAD."""
        try:
            return self._try(uri, self._ask_once)
        except StorageError as error:
            if error.kind == "not_found":
                return None
            raise

    def _ask_once(self, url: str, deadline: float) -> FileInfo:
        with contextlib.closing(self.get(url)) as response:
            return FileInfo(url, _stated_size(response))

    def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        accepted: Collection[int] = _GOOD,
    ) -> Response:
        """Requests a file and follows redirects; the caller reads the body.

        Redirects must lead to HTTP or HTTPS, and from HTTPS to HTTPS only.

        Args:
            url: URL of the file, http or https.
            headers: Headers of the request.
            accepted: HTTP status codes that are not errors.

        Raises:
            StorageError: if the file does not exist, or the server denies access.
            LostError: if another attempt may succeed.
        """
        target, fields = _without_password(url, dict(headers or {}))
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._request(url, target, fields)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                if response.status not in accepted:
                    response.close()
                    raise _status_error(url, response)
                return response
            response.release_conn()
            following = urllib.parse.urljoin(target, location)
            check_redirect(url, target, following)
            if _host(following) != _host(target):
                fields.pop("authorization", None)
            target = following
        raise _unreadable(url, f"more than {_MAX_REDIRECTS} redirects")

    def _request(self, url: str, target: str, fields: Mapping[str, str]) -> Response:
        try:
            return self._pool(_proxy_of(target)).request(
                "GET",
                quoted_url(target),
                headers={**_HEADERS, **fields},
                preload_content=False,
                redirect=False,
            )
        except SSLError as error:
            raise _unreadable(
                url, f"no secure connection: {words_of(error)}"
            ) from error
        except (ValueError, UnicodeError) as error:
            raise _unreadable(url, f"not a usable address: {error}") from error
        except HTTPError as error:
            lasting = isinstance(error, NewConnectionError)
            raise LostError(words_of(error), lasting) from error

    def _try(self, uri: str, once: Callable[[str, float], Result]) -> Result:
        deadline = time.monotonic() + self._limits.total_s
        lost = ""
        for attempt in range(self._limits.attempts):
            if attempt:
                time.sleep(self._limits.backoff_s * 2 ** (attempt - 1))
            try:
                return once(uri, deadline)
            except LostError as error:
                lost = str(error)
            if time.monotonic() > deadline:
                break
        raise _unreadable(uri, f"{lost} ({attempt + 1} attempts); try again later")

    def _read_once(self, url: str, deadline: float) -> bytes:
        # Closed, so that a connection with unread bytes does not return to the pool.
        with contextlib.closing(self.get(url)) as response:
            return self._body(url, response, deadline)

    def _body(self, url: str, response: Response, deadline: float) -> bytes:
        self._check_size(url, _stated_size(response) or 0)
        data = io.BytesIO()
        for chunk in _chunks(response):
            data.write(chunk)
            self._check_size(url, data.tell())
            if time.monotonic() > deadline:
                problem = f"not complete after {self._limits.total_s:,.0f} s"
                raise _unreadable(url, problem)
        return data.getvalue()

    def _check_size(self, url: str, num_bytes: int) -> None:
        if num_bytes > self._limits.max_bytes:
            problem = (
                f"larger than {self._limits.max_bytes / 1e6:,.0f} MB, the limit for "
                "files from the web; copy it to a disk or a bucket"
            )
            raise _unreadable(url, problem)


def _open_pool(proxy: str | None, timeout: urllib3.Timeout) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager(maxsize=4, retries=False, timeout=timeout)
    user = urllib.parse.urlsplit(proxy).netloc.rpartition("@")[0]
    headers = urllib3.make_headers(
        proxy_basic_auth=urllib.parse.unquote(user) if user else None
    )
    return urllib3.ProxyManager(
        proxy, maxsize=4, retries=False, timeout=timeout, proxy_headers=headers
    )


def _proxy_of(url: str) -> str | None:
    """The proxy for a URL, from the variables http_proxy, https_proxy and no_proxy."""
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _stated_size(response: Response) -> int | None:
    stated = response.headers.get("Content-Length", "")
    return int(stated) if stated.isdecimal() else None


def _version_for_parts(response: Response) -> _Version | None:
    """The version of a file that is to be read in parts; None for other files.

    Without ETag and date, a file that changes between two parts would go unnoticed.
    """
    headers, size = response.headers, _stated_size(response)
    if size is None or size <= WHOLE_BYTES or response.status != 200:
        return None
    if headers.get("Accept-Ranges") != "bytes" or "Content-Encoding" in headers:
        return None
    version = _version_of(response, size)
    return version if version.etag or version.modified else None


def _version_of(response: Response, size: int) -> _Version:
    headers = response.headers
    return _Version(size, headers.get("ETag"), headers.get("Last-Modified"))


def _check_part(
    url: str, response: Response, version: _Version, begin: int, end: int
) -> None:
    """Raises StorageError unless an answer is the part of the same version."""
    stated = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", stated)
    if response.status == 206 and not found:
        raise _unreadable(url, f"the server sends other parts than asked: {stated!r}")
    size = int(found[3]) if found else _stated_size(response) or 0
    if response.status == _OUTSIDE or _version_of(response, size) != version:
        raise _unreadable(url, "has changed while it was read; try again")
    if not found or (int(found[1]), int(found[2])) != (begin, end - 1):
        raise _unreadable(url, f"the server sends other parts than asked: {stated!r}")


def _chunks(response: Response) -> Iterator[bytes]:
    """Yields the body piece by piece; raises LostError if it ends too early."""
    try:
        # `stream` would wait until it has as many bytes as requested.
        while chunk := response.read1(_CHUNK_BYTES, decode_content=False):
            yield chunk
    except HTTPError as error:
        raise LostError(words_of(error)) from error


def _status_error(url: str, response: Response) -> StorageError | LostError:
    status = response.status
    words = f"HTTP {status} {response.reason or ''}".strip()
    if status in _NOT_FOUND:
        return StorageError("not_found", shown(url), f"{words}; check the uri")
    if status in _TEMPORARY:
        return LostError(words)
    if status in (401, 403):
        words += "; the server wants a password, or a signature that has not expired"
    return _unreadable(url, words)


def check_redirect(url: str, before: str, after: str) -> None:
    """Raises StorageError unless a redirect is allowed.

    From HTTP it may lead to HTTP or HTTPS, from HTTPS to HTTPS only.
    """
    allowed = ("https",) if before.startswith("https:") else ("http", "https")
    if urllib.parse.urlsplit(after).scheme not in allowed:
        raise _unreadable(
            url,
            f"redirects to {shown(after)}, "
            f"expected an address that begins with {' or '.join(allowed)}",
        )


def _without_password(url: str, fields: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Moves the password of a URL to a header, as browsers do."""
    parts = urllib.parse.urlsplit(url)
    user, found, host = parts.netloc.rpartition("@")
    if not found:
        return url, fields
    header = urllib3.make_headers(basic_auth=urllib.parse.unquote(user))
    return urllib.parse.urlunsplit(parts._replace(netloc=host)), {**fields, **header}


def _host(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def words_of(error: HTTPError) -> str:
    """urllib3's error text without the URL, which may contain a key."""
    if isinstance(error, ReadTimeoutError):
        return "the server stopped sending"
    reason = error.args[-1] if error.args else error
    if isinstance(reason, IncompleteRead) and isinstance(reason.partial, int):
        total = reason.partial + (reason.expected or 0)
        return f"connection lost after {reason.partial:,} of {total:,} bytes"
    text = str(reason) or type(error).__name__
    return re.sub(r"^HTTPS?Connection\(.*?\): ", "", text)


def _unreadable(url: str, problem: str) -> StorageError:
    return StorageError("unreadable", shown(url), problem)
