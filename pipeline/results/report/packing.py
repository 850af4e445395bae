"""Packs arrays into the JSON of the page."""

import base64

import numpy as np


def packed(values: np.ndarray) -> str:
    """Returns the little-endian bytes of an array in base64."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"))
    return base64.b64encode(little.tobytes()).decode("ascii")


def sixteen_bits(values: np.ndarray) -> np.ndarray:
    """Converts values from 0 to 1 into integers from 0 to 65535."""
    return np.clip(np.rint(values * 65535), 0, 65535).astype(np.uint16)
