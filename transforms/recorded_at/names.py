"""Finds the start of a recording in the name of its file, as recorders write it.

    SITE_20240611_053000.wav                 Song Meter, Swift, icListen
    ARIZONA-1_20240611$053000.wav            Song Meter, its clock set by GPS
    20240611_053000.WAV, 20240611_053000T.WAV    AudioMoth; T is a triggered recording
    5E90A4D4.WAV                             AudioMoth before 2020: Unix time
    20240611T053000+1000_REC.flac            Frontier Labs BAR-LT
    S20240611T053000.123+1000_E20240611T060000.456+1000.wav    its start and its end
    2024-06-11T05_30_00.000Z.mp3             Bugg
    2024-06-11 05-30-00.wav                  Anabat
    2024-06-11-birdnet-RTSP_1-05:30:00.wav   BirdNET-Pi
    5678.240611053000.wav                    SoundTrap: serial number, then the time

Names that may mean something else have no time. A number after the date may be a
counter (`240611_0012` of Zoom and Tascam), and two digits of a year may be those of a
day. Three or six digits after the seconds count files or parts of a second, and are not
used.
"""

import datetime
import re

from transforms.recorded_at.moments import offset_of, text_of
from transforms.storage import file_name, is_local, local_path, stem

_DATE = r"(?<!\d)((?:19|20)\d\d)([-_.]?)(\d\d)\2(\d\d)"
_GAP = r"(?P<gap>[T_$ -]|-birdnet-(?:\w+-)?)"
_TIME = r"(\d\d)(?P<mark>[-_:.]?)(\d\d)(?P=mark)(\d\d)(\.\d{1,6}(?!\d))?"
_ZONE = (
    r"(?:(?P<utc>Z|[-_ ]?\(?UTC(?P<from_utc>[+-]\d\d?(?::?\d\d)?)?\)?)"
    r"(?![A-Za-z0-9]|[+-]\d)"
    r"|(?P<offset>[+-]\d\d(?:[:_-]?\d\d)?)(?![\d.]))?"
)
_STARTS = re.compile(f"{_DATE}{_GAP}{_TIME}{_ZONE}(?!\\d)")
_FIELDS = (1, 3, 4, 6, 8, 9)
_FRACTION = 10
# Letters before the start and the end of a recording of a BAR-LT.
_START_AND_END = ("S", "E")
_SOUNDTRAP = re.compile(r"\d{3,}\.(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")
# Digits alone are more often an id, or a device and a counter, as of BATLOGGER. Lower
# case is more often a hash. AudioMoth wrote such names from 2017 on, until its firmware
# of 2020, which not all devices have.
_HEXADECIMAL = re.compile(r"(?=.*[A-F])[0-9A-F]{8}")
_HEXADECIMAL_YEARS = range(2016, 2031)


def time_in_name(uri: str) -> str | None:
    """The time in the name of a file.

    Args:
        uri: Path or uri of the file.

    Returns:
        ISO 8601 text, with an offset if the name has one; None if the name has no time,
        or several.
    """
    name = stem(file_name(local_path(uri)) if is_local(uri) else uri)
    if _HEXADECIMAL.fullmatch(name):
        time = datetime.datetime.fromtimestamp(int(name, 16), datetime.UTC)
        return text_of(time) if time.year in _HEXADECIMAL_YEARS else None
    if found := _SOUNDTRAP.fullmatch(name):
        return _text(2000 + int(found[1]), *map(int, found.groups()[1:]))
    starts = [*_STARTS.finditer(name)]
    letters = tuple(name[found.start() - 1 : found.start()] for found in starts)
    if letters == _START_AND_END:
        starts = starts[:1]
    texts = {_text_of_match(found) for found in starts} - {None}
    return texts.pop() if len(texts) == 1 else None


def _text_of_match(found: re.Match[str]) -> str | None:
    fields = (int(found[index]) for index in _FIELDS)
    microseconds = round(float(f"0{found[_FRACTION] or ''}") * 1e6)
    return _text(*fields, microseconds, _zone(found))


def _zone(found: re.Match[str]) -> datetime.timezone | None:
    """The offset of a time; None if it has none, or may have a counter instead."""
    if found["utc"]:
        return offset_of(found["from_utc"]) if found["from_utc"] else datetime.UTC
    offset = found["offset"] or ""
    is_long, is_iso = len(offset) > len("+02"), found["gap"] == "T"
    # `_053000-0400` may have a counter, and so may `053000-04` in any name.
    is_clear = (is_long or offset[:1] == "+") if is_iso else offset[:1] == "+"
    return offset_of(offset) if is_clear and (is_iso or is_long) else None


def _text(*fields: int | datetime.timezone | None) -> str | None:
    try:
        return text_of(datetime.datetime(*fields))  # type: ignore[arg-type]
    except ValueError:
        return None
