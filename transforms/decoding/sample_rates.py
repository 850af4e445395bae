"""The sample rate of the models, and the rates that can be resampled to it."""

from transforms.elements import ClipError

SAMPLE_RATE_HZ = 22050
# libsamplerate accepts ratios from 1/256 to 256 (src_is_valid_ratio).
MIN_RATE_HZ, MAX_RATE_HZ = SAMPLE_RATE_HZ / 256, SAMPLE_RATE_HZ * 256


def check_rate(clip_id: str, sample_rate_hz: int) -> None:
    """Raises ClipError (not_audio, unsupported_rate) for a rate that cannot be used."""
    if not sample_rate_hz:
        problem = "found no audio in the file; check that it is audio and complete"
        raise decode_error(clip_id, "not_audio", problem)
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise decode_error(
            clip_id,
            "unsupported_rate",
            f"got a sample rate of {sample_rate_hz} Hz, expected {MIN_RATE_HZ:.0f} to "
            f"{MAX_RATE_HZ:.0f} Hz; the header of the file is probably damaged",
        )


def decode_error(clip_id: str, error_type: str, problem: str) -> ClipError:
    """The error of a clip that cannot be decoded."""
    return ClipError("decode", error_type, f"cannot decode clip {clip_id}: {problem}")
