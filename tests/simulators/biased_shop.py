"""A shop of known truth: customers with a pace of their own, and a marketer who sends offers to the busy ones."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from campaigns.offers import Catalog, Offer, OfferKind
from history.events import WeeklyEvents
from history.features import visit_rates
from history.panel import Panel, build_panel
from history.state import WeekEvents, advance, initial_state
from simulators.lift import expected_saving
from simulators.promotion import Categories, choose_category, open_wallet

CATALOG = Catalog(
    currency="USD",
    max_total_discount=0.9,
    offers=(
        Offer("none", OfferKind.NONE, "no offer"),
        Offer("coupon_1", OfferKind.COUPON, "1 USD", value_cents=100, cap_cents=100),
        Offer("coupon_5", OfferKind.COUPON, "5 USD", value_cents=500, cap_cents=500),
        Offer("discount_20", OfferKind.DISCOUNT, "20 % off", depth=0.2, cap_cents=2000),
    ),
)
CATEGORIES = Categories(
    names=("soup", "rest"),
    margin=torch.tensor([0.3, 0.3]),
    popularity=torch.tensor([0.5, 0.5]),
    promotable=torch.tensor([1.0, 0.0]),
)


@dataclass(frozen=True)
class Truth:
    """What happens in the shop.

    Attributes:
        coupon, discount: Logit of a visit per log1p(USD saved).
        spend: Log spend per share saved.
        fatigue: Log lift lost per contact.
        bias: How strongly the marketer prefers who came lately [standard deviations].
        bundle: Rise of the chance of a visit in every week of a campaign that names no offer.
    """

    customers: int = 600
    weeks: int = 40
    coupon: float = 0.4
    discount: float = 0.3
    spend: float = 0.0
    fatigue: float = 0.15
    bias: float = 1.0
    named: bool = True
    bundle: float = 0.0
    length: int = 1
    every: int = 2
    share: float = 0.35


def play_shop(truth: Truth, seed: int) -> tuple[Panel, pd.DataFrame]:
    """Play the shop; return its panel and its log of campaigns."""
    rng, n = np.random.default_rng(seed), truth.customers
    pace = torch.from_numpy(rng.normal(0.0, 1.0, n))
    purse, columns = torch.from_numpy(rng.normal(3.2, 0.4, n)), CATALOG.columns().to(torch.from_numpy)
    state, theta = initial_state(n, 2), torch.tensor([0.0, truth.coupon, truth.coupon, truth.discount])
    weeks: list[dict[str, np.ndarray]] = []
    log: list[pd.DataFrame] = []
    live = torch.zeros(n)
    for week in range(truth.weeks):
        offer = torch.zeros(n, dtype=torch.int64)
        live = (live - 1.0).clamp(min=0.0)
        recent = visit_rates(state)[:, 1].numpy()
        if week >= 12 and week % truth.every == 0:
            score = truth.bias * (recent - recent.mean()) / (recent.std() + 1e-9) + rng.normal(0.0, 1.0, n)
            who = score > np.quantile(score, 1.0 - truth.share)
            number = 1 + (week // truth.every) % 3
            offer[torch.from_numpy(who)] = number
            live[torch.from_numpy(who)] = float(truth.length)
            name = CATALOG.names[number] if truth.named else ""
            log.append(_campaign(np.flatnonzero(who), week, truth, name))
        wallet = open_wallet(CATEGORIES, state, choose_category(CATEGORIES, state))
        saving = expected_saving(columns, offer, wallet) * (offer > 0)
        tired = torch.exp(-truth.fatigue * state.recent_contacts.sum(dim=1))
        lift = theta[offer] * torch.log1p(saving) * tired if truth.named else torch.zeros(n)
        logit = -0.6 + pace + 1.5 * (torch.from_numpy(recent) - 0.5) + 0.2 * np.sin(week / 5.0) + lift
        chance = torch.sigmoid(logit) + truth.bundle * (live > 0)
        visited = torch.from_numpy(rng.random(n)) < chance
        share = (saving / wallet.week.clamp(min=5.0)).clamp(max=1.0)
        spend = torch.exp(purse + 0.5 * torch.from_numpy(rng.normal(size=n)) + truth.spend * share * tired) * visited
        weeks.append(_week(visited, spend, offer if truth.named else (live == truth.length).long(), rng))
        state = advance(state, WeekEvents(**{k: torch.from_numpy(v) for k, v in weeks[-1].items()}))
    return build_panel(_events(weeks, n)), pd.concat(log, ignore_index=True) if log else _campaign(
        np.arange(0), 0, truth, ""
    )


def _week(
    visited: torch.Tensor, spend: torch.Tensor, offer: torch.Tensor, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    taste = rng.random((len(spend), 1))
    plain = {
        "baskets": visited.numpy(),
        "spend": spend.numpy(),
        "promo_spend": 0.3 * spend.numpy(),
        "saving": np.zeros(len(spend)),
        "redeemed": np.zeros(len(spend)),
        "contacted": (offer > 0).numpy(),
        "exposure": np.zeros(len(spend)),
        "category_spend": spend.numpy()[:, None] * np.concatenate([taste, 1 - taste], axis=1),
    }
    return {name: values.astype(np.float32) for name, values in plain.items()}


def _events(weeks: list[dict[str, np.ndarray]], n: int) -> WeeklyEvents:
    return WeeklyEvents(
        customer_ids=tuple(f"c{i:05d}" for i in range(n)),
        weeks=np.arange(1, len(weeks) + 1, dtype=np.int64),
        **{name: np.stack([week[name] for week in weeks], axis=1) for name in weeks[0]},
        category_names=("soup", "rest"),
        category_departments=("food", ""),
    )


def _campaign(who: np.ndarray, week: int, truth: Truth, offer: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer": who,
            "customer_id": [f"c{i:05d}" for i in who],
            "campaign_id": f"k{week:02d}",
            "campaign_type": "A",
            "offer": offer,
            "start_week": week + 1,
            "end_week": week + truth.length,
            "duration_weeks": truth.length,
            "n_coupons": 1,
            "n_redeemed": 0,
            "redeemed": False,
            "first_redeem_week": pd.array([None] * len(who), dtype="Int64"),
            "censored": False,
        }
    )
