"""Reads the decoded frames of an audio stream by the rules of Essentia's MonoLoader."""

from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import av.codec.context

from transforms.decoding.headers import mp3_headers

_KEEP_ENCODER_DELAY = {"aac", "vorbis", "wmav1", "wmav2"}


class FrameReader:
    """Reads the frames of a stream by MonoLoader's rules.

    Attributes:
        num_skipped: Number of samples to drop from the start of the stream; valid after
            the first frame.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.num_skipped = 0
        # Position and size of packets that could not be decoded and were left out.
        self._left_out: list[tuple[int, int]] = []
        self._has_other_error = False
        self._container = container
        self._stream = stream
        self._context = stream.codec_context
        if self._context.name == "mp3float":
            self._context = av.CodecContext.create("mp3", "r")
        elif self._context.name in _KEEP_ENCODER_DELAY:
            self._context.flags2 |= av.codec.context.Flags2.skip_manual

    def frames(self) -> Iterator[av.AudioFrame]:
        first = True
        for packet in self._packets():
            for frame in self._decode(packet):
                if first and self._context.name == "vorbis":
                    self.num_skipped = _skip_samples(frame)
                first = False
                yield frame

    def is_damaged(self, file: BinaryIO) -> bool:
        """True if parts that may be audio were left out; valid after all frames.

        Args:
            file: File of the container; its position changes.
        """
        if self._has_other_error or not self._left_out:
            return self._has_other_error
        return self._context.name != "mp3" or mp3_headers.hold_audio(
            file, self._left_out
        )

    def forget_damage(self) -> None:
        """Makes `is_damaged` tell about frames that are read from now on."""
        self._left_out.clear()
        self._has_other_error = False

    def _packets(self) -> Iterator[av.Packet | None]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.size:
                    yield packet
        except av.error.FFmpegError:
            self._has_other_error = True
        # None flushes the decoder. FFmpeg 2.8 did not flush WMA decoders.
        if not self._context.name.startswith("wmav"):
            yield None

    def _decode(self, packet: av.Packet | None) -> list[av.AudioFrame]:
        try:
            return list(self._context.decode(packet))
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            if packet is None or packet.pos is None:
                self._has_other_error = True
            elif not self._is_flac_header(packet):
                self._left_out.append((packet.pos, packet.size))
            return []

    def _is_flac_header(self, packet: av.Packet) -> bool:
        """True for a header of a later part of a chained Ogg file.

        The decoder expects none after the first frame. Every frame starts with 0xff.
        """
        names = (self._context.name, self._container.format.name)
        is_header = bytes(packet)[:1] != b"\xff"
        return names == ("flac", "ogg") and is_header


def _skip_samples(frame: Any) -> int:
    """Samples to skip at the start: a little-endian u32 in SKIP_SAMPLES side data."""
    for data in frame.side_data.keys():
        if "SKIP_SAMPLES" in repr(data):
            return int.from_bytes(bytes(data)[:4], "little")
    return 0
