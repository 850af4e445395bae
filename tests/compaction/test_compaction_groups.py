"""Which parts `compact` puts together."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.launch.compact import SmallPart, groups_of

PARTS = st.lists(
    st.tuples(
        st.integers(1, 60),
        st.sampled_from("ab"),
        st.text("xyz", max_size=3),
        st.sampled_from([1, 1, 3000]),
    ),
    max_size=30,
).map(lambda rows: [SmallPart(str(i), *row) for i, row in enumerate(rows)])


@given(PARTS)
def test_groups_are_sorted_of_one_kind_and_as_large_as_they_may_be(
    parts: list[SmallPart],
) -> None:
    by_name = {part.name: part for part in parts}
    groups = [[by_name[name] for name in group] for group in groups_of(parts, 100)]
    assert sorted(p.name for g in groups for p in g) == sorted(by_name)
    for group in groups:
        assert len({part.kind for part in group}) == 1
        assert len(group) == 1 or _fits(group)
        firsts = [part.first_id for part in group]
        assert firsts == sorted(firsts)
    for one, following in zip(groups, groups[1:], strict=False):
        if one[0].kind == following[0].kind:
            assert one[-1].first_id <= following[0].first_id
            assert not _fits([*one, following[0]])


def _fits(group: list[SmallPart]) -> bool:
    num_bytes = sum(part.num_bytes for part in group)
    return num_bytes <= 100 and sum(part.num_sources for part in group) <= 4096
