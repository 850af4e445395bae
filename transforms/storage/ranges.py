"""Reads a large remote file in parts, so that memory does not depend on its length."""

import io
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from transforms.storage.errors import StorageError

# Files up to this size are read whole, with one request for the content.
WHOLE_BYTES = 32 << 20
# A part begins where it is needed. The first part at a place is small, because headers
# are short; each part that follows is twice as large as the part before it.
MIN_PART_BYTES, MAX_PART_BYTES = 1 << 19, 8 << 20
# Some files are read at two places in turn, such as audio and video of a film.
_NUM_KEPT = 3

Part = tuple[int, bytes]


class RangedFile(io.BufferedIOBase):
    """A remote file that is read in parts, at any position.

    While a part is used, a thread fetches the part that follows, if the file is read
    from front to back. After an error, each further read raises the same error: a
    decoder must not take the part before the error for the whole file.
    """

    def __init__(self, size: int, fetch: Callable[[int, int], bytes]) -> None:
        """Opens the file; this sends no request.

        Args:
            size: Size of the file in bytes.
            fetch: Returns the bytes from a begin to an end, all of them. Raises
                StorageError. Another thread may call it.
        """
        self._size = size
        self._fetch = fetch
        self._position = 0
        # The part that was used last is the last.
        self._parts: list[Part] = []
        self._thread: ThreadPoolExecutor | None = None
        self._next: tuple[int, Future[bytes]] | None = None
        self._error: StorageError | None = None
        self._convert: Callable[[StorageError], Exception] = lambda error: error

    def convert_errors(self, convert: Callable[[StorageError], Exception]) -> None:
        """Makes reads raise what `convert` returns for a StorageError."""
        self._convert = convert

    @property
    def num_held(self) -> int:
        """Number of bytes in memory, without the part that a thread fetches."""
        return sum(len(data) for _, data in self._parts)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        position = base[whence] + offset
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._position = position
        return position

    def read(self, size: int | None = -1, /) -> bytes:
        if self.closed:
            raise ValueError("read of closed file")
        end = self._size
        if size is not None and size >= 0:
            end = min(end, self._position + size)
        pieces = []
        while self._position < end:
            begin, data = self._part_at(self._position)
            piece = data[self._position - begin : end - begin]
            pieces.append(piece)
            self._position += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(MIN_PART_BYTES if size < 0 else size)

    def close(self) -> None:
        self._parts.clear()
        self._next = None
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _part_at(self, position: int) -> Part:
        """The part that holds a byte of the file; it is fetched if needed."""
        for index, (begin, data) in enumerate(self._parts):
            if begin <= position < begin + len(data):
                self._parts.append(self._parts.pop(index))
                return self._parts[-1]
        if self._error:
            raise self._convert(self._error) from self._error
        try:
            part = self._fetched(position)
        except StorageError as error:
            self._error = error
            raise self._convert(error) from error
        self._parts = [*self._parts[1 - _NUM_KEPT :], part]
        return part

    def _fetched(self, position: int) -> Part:
        size = 0
        for begin, data in self._parts:
            if begin + len(data) == position:
                size = 2 * len(data)
        ahead, self._next = self._next, None
        if ahead and ahead[0] == position:
            data = ahead[1].result()
        else:
            if ahead:
                ahead[1].cancel()
            data = self._fetch(position, self._end_of(position, size))
        if size:
            self._fetch_ahead(position + len(data), 2 * len(data))
        return position, data

    def _end_of(self, begin: int, size: int) -> int:
        size = min(max(size, MIN_PART_BYTES), MAX_PART_BYTES)
        return min(self._size, begin + size)

    def _fetch_ahead(self, begin: int, size: int) -> None:
        if begin >= self._size:
            return
        if not self._thread:
            self._thread = ThreadPoolExecutor(1, "next-part")
        end = self._end_of(begin, size)
        self._next = begin, self._thread.submit(self._fetch, begin, end)
