"""The history that a synthetic shop leaves: its weeks, and a log of campaigns aimed at who was lately busy."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from history.events import ARRAYS, WeeklyEvents
from history.features import visit_rates
from simulators.market import MarketState, look, open_market, step
from simulators.shopping import draw_noise
from simulators.synthetic.truth import DEPARTMENTS, SyntheticTruth, TrueShop

FIRST_WEEK = 1
QUIET_WEEKS = 6
"""Weeks at the beginning without a campaign."""
YEAR = 52.0
LEAST_CHANCE, MOST_CHANCE = 0.02, 0.9
"""Of being reached by a campaign that draws whom it reaches."""


@dataclass(frozen=True, eq=False)
class SyntheticLog:
    """What a synthetic shop would hand over, and the state in which it left its customers.

    Attributes:
        events: Every week of every customer.
        targeting: One row per customer and campaign, as `history.targeting` describes it.
        after: The market after the last week.
        decisions: Of a shop that draws by known chances, every decision in which some offer was allowed: customer
            (position), week (number), offer (name, that of no offer too) and pscore, the chance of that offer.
    """

    events: WeeklyEvents
    targeting: pd.DataFrame
    after: MarketState
    decisions: pd.DataFrame | None = None


def live_through(shop: TrueShop) -> SyntheticLog:
    """Let a shop live its weeks, and write down what happened."""
    truth, market = shop.truth, shop.market
    generator = torch.Generator().manual_seed(truth.seed + 1)
    state = open_market(market, shop.start, shop.kind)
    told: dict[str, list[Tensor]] = {name: [] for name in (*ARRAYS, "category_spend")}
    sent: list[pd.DataFrame] = []
    decided: list[pd.DataFrame] = []
    for week in range(truth.weeks):
        market_of_week = replace(market, level=replace(market.level, visit=tide(shop.truth, week)))
        sight = look(market_of_week, state)
        if truth.randomised and _is_campaign(truth, week):
            wanted, chance = _draw(shop, state, sight.mask, generator)
            decided.append(_decisions(wanted, chance, sight.mask, week))
        else:
            wanted = _aim(shop, state, week, generator)
        noise = draw_noise(state.n, truth.categories, generator)
        state, outcome = step(market_of_week, state, sight, wanted, noise)
        for name, values in told.items():
            values.append(getattr(outcome.happened, name))
        sent.append(_sent(outcome.offer, outcome.redeemed, week))
    targeting = _targeting(shop, pd.concat(sent, ignore_index=True))
    return SyntheticLog(_events(shop, told), targeting, state, _logged(shop, decided))


def tide(truth: SyntheticTruth, week: int) -> float:
    """Return what the season and the drift add to the logit of a visit in a week."""
    wave = truth.seasonality * math.sin(2.0 * math.pi * week / YEAR)
    return wave + truth.drift * week


def _aim(shop: TrueShop, state: MarketState, week: int, generator: torch.Generator) -> Tensor:
    """Choose whom this week's campaign reaches, the lately busy first as far as the shop is biased, and with what."""
    truth, n = shop.truth, state.n
    chance = torch.randn(n, generator=generator)
    offer = torch.randint(1, shop.market.n_actions, (n,), generator=generator)
    if truth.randomised or not _is_campaign(truth, week):
        return torch.zeros_like(offer)
    score = truth.targeting_bias * _busy(state) + chance
    reached = score >= torch.quantile(score[:: max(n // 1_000_000, 1)], 1.0 - truth.campaign_share)
    return torch.where(reached & (truth.campaign_share > 0), offer, torch.zeros_like(offer))


def _is_campaign(truth: SyntheticTruth, week: int) -> bool:
    return week >= QUIET_WEEKS and week % truth.campaign_every == 0


def _busy(state: MarketState) -> Tensor:
    """Return how often customers lately came, standardised, shape (n,)."""
    busy = visit_rates(state.customer)[:, 1]
    return (busy - busy.mean()) / busy.std().clamp(min=1e-6)


def _draw(shop: TrueShop, state: MarketState, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw everybody's offer by chances that rise with how busy they lately were; allowed offers are alike.

    Returns:
        The offers, shape (n,), int64, and the chance that each had, shape (n,), float64.
    """
    truth = shop.truth
    level = torch.logit(torch.tensor(truth.campaign_share, dtype=torch.float64).clamp(LEAST_CHANCE, MOST_CHANCE))
    reach = torch.sigmoid(level + truth.targeting_bias * _busy(state).double()).clamp(LEAST_CHANCE, MOST_CHANCE)
    offers = mask.double()
    offers[:, 0] = 0.0
    dist = reach.unsqueeze(1) * offers / offers.sum(dim=1, keepdim=True).clamp(min=1.0)
    dist[:, 0] = 1.0 - dist.sum(dim=1)
    luck = torch.rand(state.n, 1, generator=generator, dtype=torch.float64)
    offer = (dist.cumsum(dim=1) <= luck).sum(dim=1).clamp(max=mask.shape[1] - 1)
    offer = torch.where(dist.gather(1, offer.unsqueeze(1)).squeeze(1) > 0, offer, torch.zeros_like(offer))
    return offer, dist.gather(1, offer.unsqueeze(1)).squeeze(1)


def _decisions(offer: Tensor, chance: Tensor, mask: Tensor, week: int) -> pd.DataFrame:
    """Return one row per customer who might have got an offer this week."""
    customer = torch.nonzero(mask[:, 1:].any(dim=1)).squeeze(1)
    columns = {"customer": customer.numpy(), "week": np.full(len(customer), week + FIRST_WEEK)}
    return pd.DataFrame({**columns, "offer": offer[customer].numpy(), "pscore": chance[customer].numpy()})


def _logged(shop: TrueShop, decided: list[pd.DataFrame]) -> pd.DataFrame | None:
    if not shop.truth.randomised or not decided:
        return None
    rows = pd.concat(decided, ignore_index=True)
    return rows.assign(offer=np.array(shop.market.catalog.names)[rows["offer"].to_numpy()])


def _sent(offer: Tensor, redeemed: Tensor, week: int) -> pd.DataFrame:
    """Return one row per customer that got an offer this week; offers live for a week, so they are redeemed in it."""
    customer = torch.nonzero(offer).squeeze(1)
    return pd.DataFrame(
        {
            "customer": customer.numpy(),
            "week": np.full(len(customer), week + FIRST_WEEK),
            "offer": offer[customer].numpy(),
            "redeemed": redeemed[customer].numpy(),
        }
    )


def customer_names(n: int) -> tuple[str, ...]:
    """Return the customers' ids, sorted as text."""
    width = len(str(n - 1))
    return tuple(f"c{i:0{width}d}" for i in range(n))


def _events(shop: TrueShop, told: dict[str, list[Tensor]]) -> WeeklyEvents:
    arrays = {name: torch.stack(values, dim=1).numpy().astype(np.float32) for name, values in told.items()}
    names = shop.market.categories.names
    return WeeklyEvents(
        customer_ids=customer_names(shop.start.n),
        weeks=np.arange(FIRST_WEEK, shop.truth.weeks + FIRST_WEEK, dtype=np.int64),
        category_names=names,
        category_departments=(*(DEPARTMENTS[i % len(DEPARTMENTS)] for i in range(len(names) - 1)), ""),
        **arrays,
    )


def _targeting(shop: TrueShop, sent: pd.DataFrame) -> pd.DataFrame:
    offers = np.array(shop.market.catalog.names)
    names = np.array(customer_names(shop.start.n))
    offer = offers[sent["offer"].to_numpy()] if len(sent) else np.array([], dtype=str)
    week = sent["week"].to_numpy()
    redeemed = sent["redeemed"].to_numpy(dtype=bool)
    return pd.DataFrame(
        {
            "customer": sent["customer"].to_numpy(dtype=np.int64),
            "customer_id": pd.Series(names[sent["customer"].to_numpy(dtype=np.int64)], dtype="str"),
            "campaign_id": pd.Series([f"w{w:03d}-{o}" for w, o in zip(week, offer, strict=True)], dtype="str"),
            "campaign_type": pd.Series(np.full(len(sent), "weekly"), dtype="str"),
            "offer": pd.Series(offer, dtype="str"),
            "start_week": week,
            "end_week": week,
            "duration_weeks": np.ones(len(sent), dtype=np.int64),
            "n_coupons": np.ones(len(sent), dtype=np.int64),
            "n_redeemed": redeemed.astype(np.int64),
            "redeemed": redeemed,
            "first_redeem_week": pd.array(np.where(redeemed, week, -1), dtype="Int64"),
            "censored": np.zeros(len(sent), dtype=bool),
        }
    ).assign(first_redeem_week=lambda t: t["first_redeem_week"].mask(~t["redeemed"]))
