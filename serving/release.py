"""One version of a published policy table that counts, for all customers or for the first few of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

PERCENTS: Final = (1, 5, 25, 100)
"""Steps of a staged rollout, in percent of the customers."""


@dataclass(frozen=True)
class Release:
    """A verified version, as it counts.

    Attributes:
        version: Its number, from 1, as in its manifest's `table_version`.
        folder: Where its files lie, read-only: `<store>/versions/v000001`.
        manifest: The signed manifest.
        percent: Share of the customers who get it: one of `PERCENTS`.
        previous: What the others get; given exactly where percent is below 100.
    """

    version: int
    folder: Path
    manifest: Mapping[str, Any]
    percent: int = 100
    previous: "Release | None" = None

    def for_customer(self, customer_id: str) -> "Release":
        """Return the version that counts for a customer: this one, or the previous one.

        The first eight bytes, most significant first, of SHA-256 over "rollout", NUL, campaign, NUL and id in UTF-8,
        times 100 and divided by 2^64, are a part from 0 to 99; a customer gets this version where the part is below
        its percent. So whoever is among the first 1 % is among the first 5 %.
        """
        if self.previous is None or rollout_part(self.manifest["arms"]["campaign"], customer_id) < self.percent:
            return self
        return self.previous


def rollout_part(campaign: str, customer_id: str) -> int:
    """Return a customer's place in staged rollouts, 0 to 99: the same for every version of a campaign."""
    digest = sha256(f"rollout\0{campaign}\0{customer_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) * 100 >> 64
