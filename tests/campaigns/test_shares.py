"""Whole pieces go to claims in proportion, to the last one."""

from hypothesis import given
from hypothesis import strategies as st

from campaigns.shares import share_out

CLAIMS = st.dictionaries(st.text(max_size=3), st.integers(0, 50), min_size=1, max_size=6).filter(
    lambda claims: sum(claims.values()) > 0
)


@given(st.integers(0, 200), CLAIMS)
def test_every_piece_goes_out_and_nobody_is_a_whole_piece_from_a_fair_share(
    pieces: int, claims: dict[str, int]
) -> None:
    parts, whole = share_out(pieces, claims), sum(claims.values())
    assert sum(parts.values()) == pieces and list(parts) == list(claims)
    assert all(abs(parts[key] * whole - pieces * claim) < whole for key, claim in claims.items())


def test_of_equal_remainders_the_earlier_is_served_first() -> None:
    assert share_out(3, {"b": 1, "a": 1}) == {"b": 2, "a": 1}
    assert share_out(1, {"a": 1, "b": 2, "c": 2}) == {"a": 0, "b": 1, "c": 0}
