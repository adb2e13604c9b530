"""Watches an agent learn: TensorBoard curves, business figures on the validation market, a progress bar."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from agents.agent import TrainedPolicy
from agents.checkpoint import Checkpoints
from evaluation.rollout import Play, Result, play


class RunMonitor:
    """Implements `agents.agent.Monitor` for one training.

    Args:
        folder: Of the TensorBoard events.
        where: The validation market.
        prices: Budget prices λ that a policy is scored at.
        budget: What a customer-week may cost [currency], to compare spending with.
        label: What the progress bar says.
        checkpoints: Where the agent keeps what it stands at.
    """

    def __init__(
        self,
        folder: Path,
        where: Play,
        prices: list[float],
        budget: float,
        label: str,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.checkpoints = checkpoints
        reached = checkpoints.step if checkpoints else None
        if reached is None:
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
        self._writer = SummaryWriter(str(folder), purge_step=reached and reached + 1)
        self._where = where
        self._prices = prices
        self._budget = budget
        self._bar = tqdm(desc=label, unit="customer-week", unit_scale=True, disable=None, leave=False)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def validate(self, policy: TrainedPolicy, step: int) -> float:
        """Play the policy on the validation market at several λ, log the business figures, return their mean score."""
        scores = []
        for price in self._prices:
            result = play(policy, price, self._where)
            scores.append(score(result, price, self._weeks))
            self.log(self._figures(result, price), step)
        total = sum(scores) / len(scores)
        self.log({"validation/score": total}, step)
        return total

    def progress(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self, settings: Mapping[str, Any], result: float) -> None:
        """Write the settings as hparams beside the final score."""
        flat = {
            name: value if isinstance(value, int | float | bool) else str(value) for name, value in settings.items()
        }
        for summary in hparams(flat, {"validation/final": result}):  # type: ignore[no-untyped-call]
            writer = self._writer.file_writer
            assert writer is not None
            writer.add_summary(summary)
        self._writer.add_scalar("validation/final", result, 0)
        self._writer.close()
        self._bar.close()

    @property
    def _weeks(self) -> int:
        return self._where.market.horizon.campaign_weeks

    def _figures(self, result: Result, price: float) -> dict[str, float]:
        tag = f"price_{price:g}"
        cost = float(result.cost.mean()) / self._weeks
        customers = result.cost.size
        shares = result.offers / max(int(result.offers.sum()), 1)
        sent = int(result.offers[1:].sum())
        named = zip(self._where.market.catalog.names, shares, strict=True)
        return {
            f"business/uplift_per_customer_week/{tag}": float(result.uplift.mean()) / self._weeks,
            f"business/margin_per_customer_week/{tag}": float((result.shadow_margin + result.uplift).mean())
            / self._weeks,
            f"business/cost_per_customer_week/{tag}": cost,
            f"business/cost_over_budget/{tag}": cost / self._budget,
            f"business/redemption_rate/{tag}": result.redeemed / max(sent, 1),
            f"business/offers_per_customer/{tag}": sent / customers,
            f"business/entropy/{tag}": result.entropy,
            f"business/violations/{tag}": float(result.violations),
            **{f"offer_share/{name}/{tag}": float(share) for name, share in named},
        }


def score(result: Result, price: float, weeks: int) -> float:
    """Return net uplift less λ times cost, per customer and campaign week [currency]."""
    return float((result.uplift - price * result.cost).mean()) / weeks


def flatten(record: Any, prefix: str = "") -> dict[str, Any]:
    """Return a dataclass's values by dotted name."""
    values = record if isinstance(record, dict) else asdict(record)
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
