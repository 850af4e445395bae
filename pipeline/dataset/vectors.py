"""Vectors of a Parquet column as one matrix."""

import numpy as np
import pyarrow as pa


def vectors_of(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of vectors of one size, without a copy if it is in one piece.

    Args:
        column: fixed_size_list<float32>[size].

    Returns:
        float32 [num_rows, size]; rows that are null hold anything.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    # Not flatten(): it leaves out what is null.
    values = column.values.to_numpy(zero_copy_only=False)
    size = column.type.list_size
    start = column.offset * size
    return values[start : start + len(column) * size].reshape(-1, size)
