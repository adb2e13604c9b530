"""Arms: which customers a policy decides for and which it is compared with, and with what chance an offer is drawn.

Whoever has the key can repeat all of it: a customer's arm, place in the queue and luck are keyed hashes of the
customer's id. `docs/policy-table.md` says how, with values to check an implementation by.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from re import fullmatch
from typing import Final

import numpy as np
from numpy.typing import NDArray

from campaigns.errors import InputError
from campaigns.shares import share_out

PARTS: Final = 10_000
"""Equal parts of the customers that shares are counted in."""
GRAIN: Final = 2**16
"""Weights are whole multiples of 1/GRAIN: their sums and the chance of every draw are exact in float64, and 16 decimals
write each of them exactly, which is what a spreadsheet holds."""
BLOCK_BYTES: Final = 64
"""Of SHA-256."""
WORDS: Final = ("arm", "offer", "turn")
"""What each of the first words of a customer's hash is for."""
LEAST_KEY: Final = 16
"""Bytes that a key has at least."""


class Arm(Enum):
    """How a customer's offer is chosen; the value is its name in files, the order that of the shares."""

    OPTIMISED = "optimised"  # the policy, with an exploration floor
    RANDOM = "random_control"  # every allowed offer with the same probability, "no offer" among them
    USUAL = "business_as_usual"  # what the shop did so far
    HOLDOUT = "holdout"  # no offer


@dataclass
class ArmsConfig:
    """Who is compared with whom."""

    optimised: float = 0.85
    """Shares of the customers, whole multiples of 0.0001 that add up to 1."""
    random_control: float = 0.05
    business_as_usual: float = 0.05
    holdout: float = 0.05
    floor: float = 0.02
    """Share of the optimised arm's choice that goes to all allowed offers alike."""
    campaign: str = ""
    """What the assignment is for; the name of the run if empty. Another name gives another assignment."""
    key_variable: str = "OFFERSMITH_ARMS_KEY"
    """Environment variable that holds the key; the key itself is never written."""

    def __post_init__(self) -> None:
        parts = [share * PARTS for share in self.shares.values()]
        if any(part < 0 or abs(part - round(part)) > 1e-6 for part in parts) or sum(map(round, parts)) != PARTS:
            given = ", ".join(f"{arm.value} {share:g}" for arm, share in self.shares.items())
            raise InputError(f"export.arms: {given}; expected shares with at most four decimals that add up to 1")
        if not self.optimised > 0:
            raise InputError(f"export.arms.optimised is {self.optimised:g}; expected more than 0")
        if not 0 <= self.floor <= 0.5:
            raise InputError(f"export.arms.floor is {self.floor:g}; expected a share in [0, 0.5]")
        if not fullmatch("[A-Za-z0-9_.-]*", self.campaign):
            raise InputError(f"export.arms.campaign is {self.campaign!r}; expected letters, digits, dots, dashes, _")

    @property
    def shares(self) -> dict[Arm, float]:
        return {arm: float(getattr(self, arm.value)) for arm in Arm}

    def parts(self, usual: bool) -> dict[Arm, int]:
        """Return how many of `PARTS` each arm has.

        Args:
            usual: Business as usual is known; if not, its share goes to the optimised arm.
        """
        parts = {arm: round(share * PARTS) for arm, share in self.shares.items()}
        if not usual:
            parts[Arm.OPTIMISED] += parts[Arm.USUAL]
            parts[Arm.USUAL] = 0
        return parts


@dataclass(frozen=True, repr=False)
class CampaignKey:
    """What arms, queue and luck derive from.

    Attributes:
        campaign: Part of every hash, without NUL.
        secret: The key, at least `LEAST_KEY` bytes.
        origin: Where it is from, in words.
    """

    campaign: str
    secret: bytes
    origin: str

    def __post_init__(self) -> None:
        if len(self.secret) < LEAST_KEY:
            raise InputError(
                f"the key of the arms ({self.origin}) has {len(self.secret)} bytes; expected {LEAST_KEY} or more"
            )

    @classmethod
    def choose(cls, campaign: str, seed: int, variable: str, environment: Mapping[str, str]) -> "CampaignKey":
        """Return the key that the environment holds, else one that anybody can derive from the run's name and seed."""
        if environment.get(variable):
            return cls(campaign, environment[variable].encode(), f"environment variable {variable}")
        public = sha256(f"offersmith\0{campaign}\0{seed}".encode()).digest()
        return cls(campaign, public, "derived from the campaign's name and the run's seed: no secret, for trials only")

    @property
    def fingerprint(self) -> str:
        """Tells keys apart and says nothing about them: 16 hexadecimal digits."""
        return hmac.digest(self.secret, b"fingerprint", "sha256")[:8].hex()

    def words(self, customer_ids: Sequence[str]) -> NDArray[np.uint64]:
        """Return four numbers in [0, 2^64) for each customer, shape (n, 4), from which all else derives.

        They are the bytes, most significant first, of HMAC-SHA256 over "arm", NUL, campaign, NUL and id in UTF-8. A
        hash cannot be made of a batch, so this is a loop, and one hash has to do; it goes on from copies of the two
        hashes that HMAC begins with (RFC 2104), which takes a third of the time of `hmac.digest`.
        """
        secret = self.secret if len(self.secret) <= BLOCK_BYTES else sha256(self.secret).digest()
        padded = secret.ljust(BLOCK_BYTES, b"\0")
        inside = sha256(bytes(byte ^ 0x36 for byte in padded) + f"arm\0{self.campaign}\0".encode()).copy
        outside = sha256(bytes(byte ^ 0x5C for byte in padded)).copy
        digests = b"".join([_finish(inside(), outside(), name.encode()) for name in customer_ids])
        return np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 4)

    def fractions(self, purpose: str, words: NDArray[np.uint64]) -> NDArray[np.float64]:
        """Return multiples of 2^-53 in [0, 1) that a purpose draws from customers' words, shape (n,).

        The word of the purpose's kind, with the purpose's own number (the first 8 bytes of HMAC-SHA256 over purpose,
        NUL, campaign and NUL) by exclusive or, is mixed; as mixing loses nothing, each fraction is as likely as any.

        Args:
            purpose: "offer" or "turn", and a day, as in "offer 2018-01-01".
            words: Shape (n, 4).

        Reference:
            The mixing is the last step of SplitMix64: Steele, Lea & Flood, "Fast Splittable Pseudorandom Number
            Generators", OOPSLA 2014.
        """
        own = hmac.digest(self.secret, f"{purpose}\0{self.campaign}\0".encode(), "sha256")[:8]
        x = words[:, WORDS.index(purpose.split()[0])] ^ np.uint64(int.from_bytes(own, "big"))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _finish(inside: "hashlib._Hash", outside: "hashlib._Hash", text: bytes) -> bytes:
    """Return an HMAC that was begun."""
    inside.update(text)
    outside.update(inside.digest())
    return outside.digest()


def assign(words: NDArray[np.uint64], parts: Mapping[Arm, int]) -> NDArray[np.int64]:
    """Return each customer's arm as its place in `Arm`, shape (n,): the same at every refresh.

    The first of the customer's words (`CampaignKey.words`, shape (n, 4)), times `PARTS` and divided by 2^64, is a part
    from 0 to `PARTS` - 1; the arms take the parts in their order.
    """
    number = words[:, WORDS.index("arm")]
    high, low = number >> np.uint64(32), number & np.uint64(2**32 - 1)  # the product has more than 64 bits
    part = (high * np.uint64(PARTS) + ((low * np.uint64(PARTS)) >> np.uint64(32))) >> np.uint64(32)
    ends = np.cumsum([parts[arm] for arm in Arm])
    return np.searchsorted(ends, part.astype(np.int64), side="right").astype(np.int64)


def with_floor(weights: NDArray[np.float64], allowed: NDArray[np.bool_], floor: float) -> NDArray[np.float64]:
    """Return (1 - floor) times the weights plus `floor` spread evenly over what is allowed, shape (n, n_offers)."""
    return (1.0 - floor) * weights + floor * evenly(allowed)


def evenly(allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the same weight for every allowed offer, shape (n, n_offers)."""
    even: NDArray[np.float64] = allowed / allowed.sum(axis=1, keepdims=True)
    return even


def in_grains(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round weights down to multiples of 1/GRAIN; the largest of a row takes what is left, so that it sums to 1.

    Args:
        weights: Rows sum to 1 up to rounding, shape (n, n_offers); what is 0 stays 0.
    """
    grains = np.floor(weights * GRAIN)
    rows = np.arange(len(weights))
    grains[rows, weights.argmax(axis=1)] += GRAIN - grains.sum(axis=1)
    return grains / GRAIN


def draw(weights: NDArray[np.float64], luck: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the first offer at which the running sum of the weights passes the luck, shape (n,).

    Args:
        weights: Of `in_grains`, shape (n, n_offers): then an offer's chance is its weight exactly.
        luck: In [0, 1), shape (n,).
    """
    offer: NDArray[np.int64] = (weights.cumsum(axis=1) <= luck[:, None]).sum(axis=1)
    return offer


def give_up(weights: NDArray[np.float64], borne: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weights, those of offers that are not borne given to "no offer", shape (n, n_offers)."""
    kept = np.where(borne, weights, 0.0)
    kept[:, 0] = np.maximum(1.0 - kept[:, 1:].sum(axis=1), 0.0)
    return kept


def split_stock(stock: int, parts: Mapping[Arm, int]) -> dict[Arm, int]:
    """Split the pieces of an offer between the arms that may make it, in proportion, by largest remainder."""
    giving = {arm: part for arm, part in parts.items() if arm is not Arm.HOLDOUT}
    return dict.fromkeys(Arm, 0) | share_out(stock, giving)
