"""What the chosen policy does to every customer of the shop, from the end of the data on."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from agents.agent import TrainedPolicy
from campaigns.offers import Catalog
from evaluation.budget import DEAREST, BudgetMode, admit
from evaluation.estimate import middle_95, middle_95_of_each
from evaluation.rollout import Play, expected_gain
from serving.distillation import Decisions, distill
from serving.reasons import Bound, Expectation, binding, describe, reasons
from serving.rules import Segments, apply_rules
from simulators.market import Sight, look, open_market

FOLLOWED_WEEKS = 6
"""Weeks for which the consequences of one offer are followed; then the terminal value is added."""
ROUGH_DRAWS = 16
"""Draws of the effects behind the offers that the policy did not choose."""
PRICE_STEPS = 8
"""Bisections of the budget price of the rules."""
RULE_FEATURES = ("weeks_since_visit", "visits_per_week", "promo_share", "promoted_share", "contacts_8w")


@dataclass(frozen=True, eq=False)
class Deployment:
    """One decision per customer, and the rules that stand for them.

    Attributes:
        decisions: Rows for `serving.table.customer_rows`.
        segments: The rules that say it in short.
    """

    decisions: pd.DataFrame
    segments: Segments


@dataclass(frozen=True)
class Limit:
    """What the budget promises, what a customer-week may cost [currency], and the price λ that keeps it."""

    mode: BudgetMode
    per_customer_week: float
    price: float


def deploy(policy: TrainedPolicy, limit: Limit, where: Play, profiles: pd.DataFrame, rules: int) -> Deployment:
    """Decide for every customer and say why.

    Args:
        policy: The chosen one.
        limit: The budget, which has the last word on the week's offers.
        where: Deployment market, all customers, and as many worlds as draws of the effects are wanted.
        profiles: As `profile_customers` gives them, and `items`: names of the products to put forward.
        rules: Most leaves of the readable tree.
    """
    n, device = where.start.n, where.start.weeks_seen.device
    state = open_market(where.market, where.start, torch.zeros(n, dtype=torch.int64, device=device))
    sight = look(where.market, state)
    prices = torch.full((n,), limit.price, device=device)
    offer = policy.action_dist(where.observer.observe(where.market, state, sight, prices)).argmax(dim=1)
    borne = admit(limit.mode, where, offer, limit.per_customer_week)
    offer = torch.where(borne, offer, torch.zeros_like(offer))
    chosen, spent = expected_gain(where, offer, FOLLOWED_WEEKS)
    gain, cost = _every_gain(where, sight.mask)
    picked = offer.cpu().numpy()
    gain[np.arange(n), picked], cost[np.arange(n), picked] = chosen.mean(axis=0), spent.mean(axis=0)
    gain[:, 0] = cost[:, 0] = 0.0
    lo, hi = middle_95_of_each(chosen)
    catalog = where.market.catalog
    features = _rule_features(profiles)
    uplift_lo, _ = middle_95(chosen.mean(axis=1))
    segments = _distill_within(Decisions(features, picked, gain, cost, uplift_lo), catalog, rules)
    place = apply_rules(segments, features)
    uplift = chosen.mean(axis=0)
    expected = Expectation(uplift, np.minimum(lo, uplift), np.maximum(hi, uplift))
    decisions = pd.DataFrame(
        {
            "customer_id": profiles["customer_id"],
            "offer": picked,
            "category": profiles["category"],
            "items": profiles["items"],
            "uplift": expected.uplift,
            "uplift_lo": expected.lo,
            "uplift_hi": expected.hi,
            "cost": spent.mean(axis=0),
            "segment": np.array([rule.number for rule in segments.rules])[place],
            "reason": reasons(
                catalog,
                picked,
                describe(profiles),
                expected,
                binding(picked, _blocked(where, sight) | {Bound.BUDGET: (~borne).cpu().numpy()}),
                (segments, place),
            ),
        }
    )
    return Deployment(decisions, segments)


def _distill_within(decisions: Decisions, catalog: Catalog, rules: int) -> Segments:
    """Distil at the lowest budget price at which the rules cost no more than the policy: they keep its budget too."""
    best = distill(replace(decisions, price=0.0), catalog, max_leaves=rules)
    if best.cost <= best.policy_cost:
        return best
    low, high = np.log(0.02), np.log(DEAREST)
    best = distill(replace(decisions, price=DEAREST), catalog, max_leaves=rules)
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2
        tried = distill(replace(decisions, price=float(np.exp(middle))), catalog, max_leaves=rules)
        if tried.cost <= tried.policy_cost:
            high, best = middle, tried
        else:
            low = middle
    return best


def _every_gain(where: Play, mask: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return uplift and cost of each allowed offer from a few draws, shape (n, n_offers)."""
    rough = Play(where.market, where.observer, where.start, ROUGH_DRAWS, where.seed)
    allowed = mask.cpu().numpy()
    gain, cost = np.full(allowed.shape, -np.inf), np.zeros(allowed.shape)
    for index in tqdm(range(1, allowed.shape[1]), desc="weigh offers", unit="offer", disable=None):
        action = torch.full((where.start.n,), index, device=mask.device)
        uplift, spent = expected_gain(rough, action, FOLLOWED_WEEKS)
        gain[:, index] = np.where(allowed[:, index], uplift.mean(axis=0), -np.inf)
        cost[:, index] = np.where(allowed[:, index], spent.mean(axis=0), 0.0)
    return gain, cost


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
