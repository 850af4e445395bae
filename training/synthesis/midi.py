"""Writes Standard MIDI Files with one track from events with times in seconds."""

import pathlib
import struct

# At MIDI's default tempo a quarter note takes 0.5 s, so a second has two of them.
_TICKS_A_QUARTER, _TICKS_A_SECOND = 480, 960
DRUM_CHANNEL = 9
BANK, VOLUME, EXPRESSION, PAN, SUSTAIN, REVERB, ALL_OFF = 0, 7, 11, 10, 64, 91, 120


class Score:
    """Collects MIDI events; times are in seconds, channel 9 is for drums."""

    def __init__(self) -> None:
        self._events: list[tuple[float, bytes]] = []

    def note(
        self, start_s: float, end_s: float, channel: int, key: int, velocity: int
    ) -> None:
        velocity = min(127, max(1, velocity))
        self._events.append((start_s, bytes([0x90 | channel, key, velocity])))
        self._events.append((end_s, bytes([0x80 | channel, key, 0])))

    def control(self, time_s: float, channel: int, number: int, value: int) -> None:
        self._events.append((time_s, bytes([0xB0 | channel, number, value])))

    def program(self, time_s: float, channel: int, bank: int, program: int) -> None:
        self.control(time_s, channel, BANK, bank)
        self._events.append((time_s, bytes([0xC0 | channel, program])))

    def bend(self, time_s: float, channel: int, amount: float) -> None:
        """Bends the pitch by `amount` (-1 to 1) times two semitones."""
        value = min(16383, max(0, round(8192 + 8191 * amount)))
        event = bytes([0xE0 | channel, value & 127, value >> 7])
        self._events.append((time_s, event))

    def write(self, path: pathlib.Path) -> None:
        """Writes a file of format 0; events with the same time keep their order."""
        track = bytearray()
        now = 0
        for time_s, event in sorted(self._events, key=lambda entry: entry[0]):
            ticks = round(time_s * _TICKS_A_SECOND)
            track += _variable_length(ticks - now) + event
            now = ticks
        # A second of rest, then "end of track".
        track += _variable_length(_TICKS_A_SECOND) + b"\xff\x2f\x00"
        header = struct.pack(">IHHH", 6, 0, 1, _TICKS_A_QUARTER)
        length = struct.pack(">I", len(track))
        path.write_bytes(b"MThd" + header + b"MTrk" + length + track)


def _variable_length(number: int) -> bytes:
    result = [number & 127]
    while number := number >> 7:
        result.insert(0, number & 127 | 128)
    return bytes(result)
