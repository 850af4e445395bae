"""A view of a file: other first bytes, a part of the file, swapped bytes of samples."""

import io
import os
from typing import BinaryIO

import numpy as np


class FileView(io.RawIOBase):
    """Reads `head`, then the bytes of a file from `start` to `end`.

    Nothing is copied into memory, and the file is not closed with the view.
    """

    def __init__(
        self,
        file: BinaryIO,
        start: int = 0,
        end: int | None = None,
        head: bytes = b"",
        swapped_width: int = 1,
    ) -> None:
        """Makes a view.

        Args:
            file: Seekable file.
            start: First byte of the file that the view shows.
            end: End of the part that the view shows; None for the end of the file.
            head: Bytes that the view shows before that part.
            swapped_width: Number of bytes of a sample whose bytes are reversed in that
                part; 1 reverses nothing.
        """
        file_size = file.seek(0, os.SEEK_END)
        self._file = file
        self._start = start
        self._head = head
        self._width = swapped_width
        self._body_size = max(0, min(file_size, end or file_size) - start)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = len(self._head) + self._body_size
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        whole = len(self._head) + self._body_size
        end = whole if size < 0 else min(whole, self._position + size)
        if end <= self._position:
            return b""
        data = self._head[self._position : end]
        begin = max(0, self._position - len(self._head))
        if end > len(self._head):
            data += self._body(begin, end - len(self._head))
        self._position += len(data)
        return data

    def _body(self, begin: int, end: int) -> bytes:
        """Bytes of the part of the file, with the bytes of every sample reversed."""
        first = begin - begin % self._width
        last = min(self._body_size, end + -end % self._width)
        self._file.seek(self._start + first)
        data = self._file.read(last - first)
        if self._width > 1:
            num_whole = len(data) // self._width * self._width
            words = np.frombuffer(data, np.uint8, num_whole).reshape(-1, self._width)
            data = words[:, ::-1].tobytes() + data[num_whole:]
        return data[begin - first : end - first]
