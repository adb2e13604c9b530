"""What the chosen policy does to every customer of the shop, from the end of the data on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.agent import TrainedPolicy
from campaigns.held_out import HeldOut
from campaigns.offers import Catalog
from evaluation.budget import DEAREST
from evaluation.estimate import middle_95
from evaluation.gain_fitting import fit_gains, sample_of
from evaluation.gains import GainModel, Gains
from evaluation.rollout import AtPrice, Play, Result, expected_gain, play
from evaluation.ruling import Ruling, judge_rules
from experiments.drawing import Drawn, Limit, Trial, arm_rows, draw_offers
from experiments.rows import Shop, decision_rows
from experiments.scoring.customers import Customers
from serving.distillation import Decisions, distill, grow
from serving.reasons import Bound, basket_thirds
from serving.rules import Segments
from simulators.market import Sight, look, open_market

FOLLOWED_WEEKS = 6
"""Weeks for which the consequences of one offer are followed; then the terminal value is added."""
PRICE_STEPS = 8
"""Bisections of the budget price of the rules."""
COST_WORLDS = 4
"""Copies of the customers in which rules and policy are played for what they cost."""
RULE_FEATURES = ("weeks_since_visit", "visits_per_week", "promo_share", "promoted_share", "contacts_8w")


@dataclass(frozen=True, eq=False)
class Deployment:
    """One decision per customer, and the rules that stand for them.

    Attributes:
        decisions: Rows for `serving.table.customer_rows`.
        segments: The rules that say it in short.
        arms: What the manifest says of each arm.
        shop: What all customers share.
        gains: What every offer brings.
        customers: Who was decided for, as a scorer takes them.
        drawn: What was drawn for them.
        spent: Expected promo and contact cost of it by its chances [currency], shape (n,).
        held_out: What the policy brings on the held-out market.
    """

    decisions: pd.DataFrame
    segments: Segments
    arms: list[dict[str, Any]]
    shop: Shop
    gains: GainModel
    customers: Customers
    drawn: Drawn
    spent: NDArray[np.float64]
    held_out: Result


@dataclass(frozen=True, eq=False)
class Stand:
    """What rules have to stand up to: the held-out market, with as many leaves as `rules` at most."""

    held_out: Play
    rules: int


def deploy(
    policy: TrainedPolicy, limit: Limit, where: Play, profiles: pd.DataFrame, trial: Trial, stand: Stand
) -> Deployment:
    """Decide for every customer and say why.

    Args:
        policy: The chosen one.
        limit: The budget, which has the last word on the week's offers.
        where: Deployment market, all customers, and as many worlds as draws of the effects are wanted.
        profiles: As `profile_customers` gives them, and `items`: names of the products to put forward.
        trial: The arms.
        stand: What the rules have to stand up to.
    """
    catalog = where.market.catalog
    n, device = where.start.n, where.start.weeks_seen.device
    state = open_market(where.market, where.start, torch.zeros(n, dtype=torch.int64, device=device))
    sight = look(where.market, state)
    drawn = draw_offers(policy, limit, where, (state, sight), trial, profiles["customer_id"].tolist())
    model = fit_gains(where, FOLLOWED_WEEKS)
    features = where.observer.observe(where.market, state, sight, torch.zeros(n, device=device)).features
    gains = model.to(device).score(features).within(catalog)
    known = _rule_features(profiles)
    favoured = _favoured(drawn, where, gains, sight.mask, known, trial.floor)
    beside = AtPrice(policy, limit.price)
    held_out = play(policy, limit.price, stand.held_out)
    segments = _stand_for(beside, favoured, where, stand, held_out)
    shop = Shop(catalog, trial, segments, basket_thirds(profiles))
    expected = _in_numbers(gains.of(torch.from_numpy(drawn.offer).to(device)))
    blocked = _blocked(where, sight)
    decisions = decision_rows(shop, profiles, drawn, expected, blocked)
    cost = gains.cost.double().cpu().numpy()
    customers = Customers(profiles, features.cpu().numpy(), sight.mask.cpu().numpy(), blocked)
    arms = arm_rows(drawn, limit, where, trial, cost)
    spent = (drawn.weights * np.where(sight.mask.cpu().numpy(), cost, 0.0)).sum(axis=1)
    return Deployment(decisions, segments, arms, shop, model, customers, drawn, spent, held_out)


def _in_numbers(values: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    """Return tensors of money as arrays."""
    return {name: value.double().cpu().numpy() for name, value in values.items()}


def _favoured(drawn: Drawn, where: Play, gains: Gains, mask: Tensor, known: pd.DataFrame, floor: float) -> Decisions:
    """Return what the policy favours for each customer, the arms aside.

    What it brings them all in the mean, with its interval, is played, to as many customers as the gains are learned
    from: there the draws of the effects move all customers together.
    """
    allowed = mask.cpu().numpy()
    gain, cost = (part.double().cpu().numpy() for part in (gains.uplift, gains.cost))
    among, rows = sample_of(where)
    asked = torch.from_numpy(drawn.wanted).to(where.start.weeks_seen.device).index_select(0, rows)
    brought, _ = expected_gain(among, asked, FOLLOWED_WEEKS)
    told = np.where(allowed, gain, 0.0)[np.arange(len(gain)), drawn.wanted][rows.cpu().numpy()]
    print(
        f"export: the favoured offers bring {told.mean():.3f} {where.market.catalog.currency} per customer by the gain "
        f"model, {brought.mean():.3f} played in the market"
    )
    gain = np.where(allowed, gain, -np.inf)
    lo = middle_95(brought.mean(axis=1))[0]
    return Decisions(known, drawn.wanted, gain, np.where(allowed, cost, 0.0), lo, floor=floor)


def _stand_for(beside: AtPrice, decisions: Decisions, where: Play, stand: Stand, away: Result) -> Segments:
    """Grow rules until they keep enough of the policy's uplift on the held-out market."""
    catalog, here = where.market.catalog, replace(where, worlds=COST_WORLDS)
    at_home = play(beside.policy, beside.price, here)

    def judge(segments: Segments, market: Play, theirs: Result) -> HeldOut:
        rulings = [
            Ruling({c.feature: (c.at_least, c.below) for c in rule.conditions}, catalog.index(rule.offer))
            for rule in segments.rules
        ]
        return judge_rules(rulings, beside, market, theirs)

    def within(segments: Segments) -> bool:
        played = judge(segments, here, at_home)
        return played.cost <= played.policy_cost

    return grow(
        lambda leaves: _distill_within(decisions, catalog, leaves, within),
        lambda segments: judge(segments, stand.held_out, away),
        stand.rules,
    )


def _distill_within(decisions: Decisions, catalog: Catalog, rules: int, within: Callable[[Segments], bool]) -> Segments:
    """Distil at the lowest budget price at which the rules keep the policy's budget too.

    Args:
        decisions: What the policy decided.
        catalog: The offers.
        rules: Most leaves.
        within: Whether rules cost no more than the policy, both of them played.
    """

    def at(price: float) -> Segments:
        return distill(replace(decisions, price=price), catalog, max_leaves=rules, enough=None)

    best = at(0.0)
    if within(best):
        return best
    low, high = np.log(0.02), np.log(DEAREST)
    best = at(DEAREST)
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2
        tried = at(float(np.exp(middle)))
        if within(tried):
            high, best = middle, tried
        else:
            low = middle
    return best


def _rule_features(profiles: pd.DataFrame) -> pd.DataFrame:
    money = [name for name in profiles.columns if name.startswith(("spend_per_week_", "basket_"))]
    return profiles[[*RULE_FEATURES, *money]]


def _blocked(where: Play, sight: Sight) -> dict[Bound, NDArray[np.bool_]]:
    """Say which customers a single rule leaves without any offer."""
    rules, catalog = where.market.rules, where.market.catalog
    contacts = where.start.recent_contacts[:, : rules.contact_window_weeks].sum(dim=1)
    least = min(offer.min_weeks_since_visit for offer in catalog.offers[1:])
    return {
        Bound.CONTACT_CAP: (contacts >= rules.contact_cap).cpu().numpy(),
        Bound.NOT_ELIGIBLE: (where.start.weeks_since_visit < least).cpu().numpy(),
        Bound.MARGIN_FLOOR: (~sight.mask[:, 1:].any(dim=1)).cpu().numpy(),
    }
