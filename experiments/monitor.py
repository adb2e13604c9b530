"""Watches an agent learn: TensorBoard curves, business figures on the validation market, a progress bar."""

import math
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from re import escape
from typing import Any, Final, Self

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from agents.agent import TrainedPolicy
from agents.checkpoint import Checkpoints
from evaluation.rollout import Play, Result, play

FINAL: Final = "validation/final"
HELD_OUT: Final = "held_out/uplift_per_customer_week"
LEARNING: Final = {
    "reward and its parts [USD per customer-week]": ("reward_usd", "net_usd", "cost_usd"),
    "violations": ("violations",),
}
"""Charts of what a rollout brought, by tags without `rollout/` and `_per_customer_week`."""
OPTIMISER: Final = ("entropy_loss", "approx_kl", "clip_fraction", "explained_variance", "value_loss")


class RunMonitor:
    """Implements `agents.agent.Monitor` for one training; to be closed by `with`.

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
        self._writer.add_custom_scalars(curves_layout(prices, where.market.catalog.names))
        self._where = where
        self._prices = prices
        self._budget = budget
        self._bar = tqdm(desc=label, unit="customer-week", unit_scale=True, disable=None, leave=False)
        self._since = (reached or 0, time.monotonic())  # customer-weeks and clock after the last validation

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._bar.close()

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def validate(self, policy: TrainedPolicy, step: int) -> float:
        """Play the policy on the validation market at several λ, log the business figures, return their mean score."""
        before, clock = self._since
        if step > before:
            self.log({"time/customer_weeks_per_second": (step - before) / (time.monotonic() - clock)}, step)
        results = self._play(policy)
        for price, result in results.items():
            self.log(self._figures(result, price), step)
        total = self._score(results)
        self.log({"validation/score": total, "time/peak_memory_gib": peak_memory()}, step)
        self._since = (step, time.monotonic())
        return total

    def progress(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def conclude(self, policy: TrainedPolicy, settings: Mapping[str, Any]) -> float:
        """Score the finished policy; write what it does as text, and the settings as hparams beside its score."""
        results = self._play(policy)
        final, step = self._score(results), self._since[0]
        self._writer.add_text("summary", self._summary(results, final), step)
        flat = {
            name: value if isinstance(value, int | float | bool) else str(value) for name, value in settings.items()
        }
        for summary in hparams(flat, {FINAL: final, HELD_OUT: math.nan}):  # type: ignore[no-untyped-call]
            writer = self._writer.file_writer
            assert writer is not None
            writer.add_summary(summary)
        self._writer.add_scalar(FINAL, final, step)
        return final

    @property
    def _weeks(self) -> int:
        return self._where.market.horizon.campaign_weeks

    def _play(self, policy: TrainedPolicy) -> dict[float, Result]:
        return {price: play(policy, price, self._where) for price in self._prices}

    def _score(self, results: Mapping[float, Result]) -> float:
        return sum(score(result, price, self._weeks) for price, result in results.items()) / len(results)

    def _summary(self, results: Mapping[float, Result], final: float) -> str:
        """Return what the policy does at each λ as a Markdown table."""
        shown = {
            "uplift": "uplift_per_customer_week",
            "cost": "cost_per_customer_week",
            "cost over budget": "cost_over_budget",
            "offers per customer": "offers_per_customer",
            "redeemed": "redemption_rate",
            "violations": "violations",
        }
        lines = [f"| λ | {' | '.join(shown)} | most frequent offers |", "|---" * (len(shown) + 2) + "|"]
        for price, result in results.items():
            figures = {name.split("/")[1]: value for name, value in self._figures(result, price).items()}
            order = result.offers.argsort()[::-1][:3]
            names = [
                f"{self._where.market.catalog.names[i]} {result.offers[i] / result.offers.sum():.0%}" for i in order
            ]
            cells = [f"{figures[name]:.4g}" for name in shown.values()]
            lines.append(f"| {price:g} | {' | '.join(cells)} | {', '.join(names)} |")
        return f"Score on validation {final:+.4f} per customer-week, mean over λ.\n\n" + "\n".join(lines)

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


def curves_layout(prices: Sequence[float], offers: Sequence[str]) -> dict[str, dict[str, tuple[str, list[str]]]]:
    """Return TensorBoard's custom layout: what the shop looks at, how the learning goes, and how fast.

    Args:
        prices: Budget prices λ that a policy is scored at; a chart has a line for each.
        offers: Names in the catalog; a chart has a line for each.
    """
    tags = [f"price_{price:g}" for price in prices]
    business = {
        name: [f"business/{name}/{tag}" for tag in tags]
        for name in (
            "uplift_per_customer_week",
            "cost_per_customer_week",
            "cost_over_budget",
            "redemption_rate",
            "offers_per_customer",
            "violations",
        )
    }
    mix = {f"offer mix at {tag}": [f"offer_share/{offer}/{tag}" for offer in offers] for tag in tags}
    learning = {title: [f"rollout/{name}_per_customer_week" for name in names] for title, names in LEARNING.items()}
    learning |= {name: [f"train/{name}"] for name in OPTIMISER}
    learning["offer mix while exploring"] = [f"rollout/share_of_choices/{offer}" for offer in offers]
    speed = {name: [f"time/{name}"] for name in ("customer_weeks_per_second", "peak_memory_gib", "device_memory_gib")}
    groups = {
        "business, by budget price λ": {"score": ["validation/score"]} | business | mix,
        "learning": learning,
        "speed": speed,
    }
    return {
        group: {title: ("Multiline", [f"^{escape(tag)}$" for tag in lines]) for title, lines in charts.items()}
        for group, charts in groups.items()
    }


def note_held_out(folder: Path, uplift: float, step: int = 0) -> None:
    """Put the held-out uplift beside the curves and hparams of a finished training.

    Args:
        folder: Of the TensorBoard events.
        uplift: [currency per customer-week].
        step: Where on the axis.
    """
    for old in folder.glob("*.held_out"):
        old.unlink()
    with SummaryWriter(str(folder), filename_suffix=".held_out") as writer:
        writer.add_scalar(HELD_OUT, uplift, step)


def peak_memory() -> float:
    """Return the most memory that this process has held [GiB]."""
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss [bytes]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


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
