"""The ledger is compared with the manifest block by block, in any order."""

import pathlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset import part_files
from pipeline.dataset.folder import Dataset
from pipeline.launch.done_rows import find_done
from tests.support.made_dataset import make_dataset, scored
from tests.support.shards import states_by_uri
from transforms.schemas import LEDGER_FIELDS
from transforms.storage import FileInfo

NUM_CLIPS = 8


@given(
    rows=st.dictionaries(
        st.integers(0, NUM_CLIPS - 1), st.tuples(st.booleans(), st.booleans())
    ),
    order=st.randoms(use_true_random=False),
    block_rows=st.integers(1, NUM_CLIPS),
)
def test_rows_are_found_wherever_they_are_in_the_ledger(
    rows: dict[int, tuple[bool, bool]], order: object, block_rows: int
) -> None:
    """Compares with a loop over the rows.

    Args:
        rows: Number of a clip -> whether it is ok, and whether its file has changed.
        order: Shuffles the rows of the ledger.
        block_rows: Number of rows in a block.
    """
    numbers = [*rows]
    order.shuffle(numbers)  # type: ignore[attr-defined]
    names = [f"clip {number}" for number in range(NUM_CLIPS)]
    manifest = pa.table({"clip_id": names, "uri": [f"/{name}" for name in names]})
    files = {f"/{name}": FileInfo(f"/{name}", 100) for name in names}
    columns: dict[str, list[object]] = {
        "clip_id": [names[n] for n in numbers],
        "uri": [f"/{names[n]}" for n in numbers],
        "status": ["ok" if rows[n][0] else "failed" for n in numbers],
        "file_size_bytes": [7 if rows[n][1] else 100 for n in numbers],
    }
    nothing = [None] * len(numbers)
    ledger = pa.table(
        [pa.array(columns.get(f.name, nothing), f.type) for f in LEDGER_FIELDS],
        pa.schema(LEDGER_FIELDS),
    )
    blocks = [
        ledger.slice(start, block_rows) for start in range(0, len(numbers), block_rows)
    ]
    done = find_done(manifest, states_by_uri(manifest, files), blocks)
    expected = [rows.get(number) for number in range(NUM_CLIPS)]
    assert done.is_ok.tolist() == [bool(row and row[0]) for row in expected]
    assert done.is_failed.tolist() == [bool(row and not row[0]) for row in expected]
    assert done.is_changed.tolist() == [bool(row and row[1]) for row in expected]
    assert done.any == bool(rows)


@pytest.mark.parametrize("block_rows", [1, 4, 100])
@pytest.mark.parametrize("num_large", [0, 2])
def test_blocks_have_all_rows_of_small_and_large_parts(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    block_rows: int,
    num_large: int,
) -> None:
    names = [f"clip {number:02d}" for number in range(20)]
    results = {name: scored([0.5]) for name in names}
    dataset = Dataset(str(make_dataset(tmp_path / "out", results, ["Bell"])))
    ledger = tmp_path / "out" / "ledger"
    for path in sorted(ledger.iterdir())[:num_large]:
        path.rename(path.with_name(f"{part_files.COMPACTED_PREFIX}{path.name[5:]}"))
    monkeypatch.setattr(part_files, "_BLOCK_ROWS", block_rows)
    blocks = [*dataset.done_blocks(dataset.committed())]
    found = [clip_id for block in blocks for clip_id in block["clip_id"].to_pylist()]
    assert sorted(found) == names
    assert all(block.num_rows >= block_rows for block in blocks[:-1])
    assert len(blocks) == {1: 7, 4: 4, 100: 1}[block_rows]
    assert np.all([block.column_names == blocks[0].column_names for block in blocks])
