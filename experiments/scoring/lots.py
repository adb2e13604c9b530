"""What the lot fell on for customers of a part, kept in an Arrow file until it is known what the budget bears."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray

from evaluation.gains import Gains
from experiments.drawing import Asked
from experiments.scoring.customers import BLOCKS, Customers
from serving.reasons import Bound

if TYPE_CHECKING:
    from experiments.scoring.scorer import Scorer

MONEY: Final = ("uplift", "uplift_lo", "uplift_hi", "cost", "cost_lo", "cost_hi")
_TEXTS: Final = ("customer_id", "category", "items")


@dataclass(frozen=True, eq=False)
class Lots:
    """Some customers of a part.

    Attributes:
        profiles: customer_id, category, items and features in units that people read, n rows.
        asked: What the lot fell on; of the policy's own choice nothing is kept.
        expected: What that offer brings and costs, with intervals [currency], each shape (n,).
        blocked: Where a constraint alone rules out every offer, shape (n,) each.
    """

    profiles: pd.DataFrame
    asked: Asked
    expected: Mapping[str, NDArray[np.float64]]
    blocked: Mapping[Bound, NDArray[np.bool_]]

    @classmethod
    def of(cls, customers: Customers, asked: Asked, gains: Gains) -> Self:
        found = gains.of(torch.from_numpy(asked.offer))
        expected = {name: found[name].double().numpy() for name in MONEY}
        return cls(customers.profiles, asked, expected, customers.blocked)

    @staticmethod
    def schema(scorer: "Scorer") -> pa.Schema:
        offers = scorer.shop.catalog.n
        fields: dict[str, Any] = {
            **dict.fromkeys(_TEXTS, pa.string()),
            **dict.fromkeys(scorer.known, pa.float64()),
            "arm": pa.int8(),
            "offer": pa.uint8(),
            "turn": pa.float64(),
            "blocked": pa.uint16(),
            "weights": pa.list_(pa.float32(), offers),
            "money": pa.list_(pa.float32(), len(MONEY)),
        }
        return pa.schema(list(fields.items()))

    def table(self, scorer: "Scorer") -> pa.Table:
        """Return them as Arrow; weights are multiples of 2^-16, which float32 holds exactly."""
        bits = np.zeros(len(self.profiles), dtype=np.uint16)
        for place, bound in enumerate(BLOCKS):
            if bound in self.blocked:
                bits |= self.blocked[bound].astype(np.uint16) << np.uint16(place)
        columns = {
            **{name: pa.array(self.profiles[name], pa.string()) for name in _TEXTS},
            **{name: pa.array(self.profiles[name].to_numpy(dtype=np.float64)) for name in scorer.known},
            "arm": pa.array(self.asked.arm.astype(np.int8)),
            "offer": pa.array(self.asked.offer.astype(np.uint8)),
            "turn": pa.array(self.asked.turn),
            "blocked": pa.array(bits),
            "weights": _rows(self.asked.weights),
            "money": _rows(np.stack([self.expected[name] for name in MONEY], axis=1)),
        }
        return pa.table(columns, schema=self.schema(scorer))

    @classmethod
    def read(cls, batch: pa.RecordBatch) -> Self:
        column = {name: batch.column(name) for name in batch.schema.names}
        arm, offer = (column.pop(name).to_numpy().astype(np.int64) for name in ("arm", "offer"))
        turn, bits = (column.pop(name).to_numpy() for name in ("turn", "blocked"))
        weights, money = (_matrix(column.pop(name)) for name in ("weights", "money"))
        profiles = pd.DataFrame(
            {
                name: values.to_pandas().astype("str") if name in _TEXTS else values.to_numpy()
                for name, values in column.items()
            }
        )
        blocked = {bound: (bits >> np.uint16(place)) % 2 == 1 for place, bound in enumerate(BLOCKS)}
        asked = Asked(arm, weights, weights, offer, turn)
        return cls(profiles, asked, dict(zip(MONEY, money.T, strict=True)), blocked)


def _rows(values: NDArray[np.float64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).reshape(-1)), values.shape[1])


def _matrix(column: pa.Array) -> NDArray[np.float64]:
    flat = column.flatten().to_numpy().astype(np.float64)
    matrix: NDArray[np.float64] = flat.reshape(len(column), -1)
    return matrix
