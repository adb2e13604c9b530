"""Sharing out what cannot be cut: pieces to those who have a claim, to the last one."""

from collections.abc import Mapping
from typing import TypeVar

Key = TypeVar("Key")


def share_out(pieces: int, claims: Mapping[Key, int]) -> dict[Key, int]:
    """Return how many pieces each gets, in proportion to its claim, all of them in sum.

    Args:
        pieces: How many there are, >= 0.
        claims: >= 0, not all 0; of equal remainders the earlier is served first.

    Reference:
        Hamilton's method of largest remainders.
    """
    whole = sum(claims.values())
    parts = {key: divmod(pieces * claim, whole) for key, claim in claims.items()}
    left = pieces - sum(part for part, _ in parts.values())
    first = sorted(parts, key=lambda key: -parts[key][1])[:left]
    return {key: part + (key in first) for key, (part, _) in parts.items()}
