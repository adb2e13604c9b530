"""A scorer that was never trained and customers who do not exist: shapes and types of real ones, at any size.

python -m tests.experiments.fabricated_scorer <folder> <customers> <customers of a part>
"""

import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from agents.actor import ActorPolicy
from agents.linear_model import names_of
from agents.shared import offer_rows
from campaigns.decision import SAVING, ObservationLayout
from campaigns.describe import offer_features
from campaigns.offers import Catalog, Offer, OfferKind, Scope
from evaluation.budget import BudgetMode
from evaluation.gains import GainBasis, GainModel
from experiments.arms import arms_entry
from experiments.drawing import Limit, Trial
from experiments.rows import Shop
from experiments.scoring.customers import Customers, write_customers
from experiments.scoring.scorer import Parts, write_scorer
from history.features import FEATURES
from serving.arms import ArmsConfig, CampaignKey
from serving.by_budget import PUBLISHED, STEPS
from serving.reasons import Bound
from serving.rule_features import feature
from serving.rules import Condition, Rule, Segments
from simulators.observation import CAMPAIGN_FEATURES

KEY = CampaignKey.choose("spring", 0, "NOWHERE", {})
KNOWN = ("weeks_since_visit", "visits_per_week", "basket_usd", "promo_share")
ITEMS = ("", "oat milk; rye bread", "grapes", "café crème; tea; cocoa")


def fabricate_catalog(coupons: int = 10) -> Catalog:
    """Return a catalog of 6 offers and so many coupons, "no offer" included."""
    return Catalog(
        "USD",
        0.5,
        (
            Offer("none", OfferKind.NONE, "no offer"),
            *(
                Offer(f"discount_{p}", OfferKind.DISCOUNT, f"{p} % off", Scope.CATEGORY, depth=p / 100,
                      cap_cents=30 * p, contact_cents=2) for p in (10, 20, 30)
            ),
            *(
                Offer(f"coupon_{v}", OfferKind.COUPON, f"{v} USD coupon", value_cents=100 * v, cap_cents=100 * v,
                      weeks=2, contact_cents=2) for v in range(1, coupons + 1)
            ),
            Offer("spend_50_save_10", OfferKind.THRESHOLD, "10 USD off from 50 USD", value_cents=1000,
                  threshold_cents=5000, cap_cents=1000, weeks=2, contact_cents=2),
            Offer("gift", OfferKind.GIFT, "a gift from 40 USD", threshold_cents=4000, gift_cost_cents=250,
                  cap_cents=250, contact_cents=2),
        ),
    )  # fmt: skip


def fabricate_parts(budget: float = 0.08, mode: BudgetMode = BudgetMode.RISK, coupons: int = 10) -> Parts:
    """Return what a scorer is written from: a random network, random gains, 9 rules."""
    catalog, lucky = fabricate_catalog(coupons), torch.Generator().manual_seed(1)
    names = (*FEATURES, *CAMPAIGN_FEATURES, *(SAVING + name for name in catalog.names[1:]))
    layout = ObservationLayout(names, catalog.names, offer_features(catalog))
    width, offers = layout.n_features, catalog.n

    def normal(*shape: int, scale: float = 0.3) -> torch.Tensor:
        return scale * torch.randn(*shape, generator=lucky)

    tensors = {
        "weight_0": normal(64, 2 * width + 1), "bias_0": normal(64), "weight_1": normal(64, 64), "bias_1": normal(64),
        "shared": normal(offer_rows(layout).shape[1], 65), "own": normal(offers, 65),
    }  # fmt: skip
    meta = {"config": {"hidden": [64, 64]}, "greedy": True, "model": names_of(layout)}
    policy = ActorPolicy(layout, meta, tensors)
    pairs = torch.combinations(torch.arange(len(GainBasis.of(layout).shared)), 2)[:30]
    basis = GainBasis.of(layout, pairs)
    one = torch.zeros(1, width)
    coefficients = normal(offers - 1, basis.of_offer(one, 0).shape[1], 10, scale=0.02)
    coefficients[:, 0, :2] += torch.tensor([0.8, 0.4])
    error = torch.full((offers - 1, 2), 0.05)
    gains = GainModel(
        layout,
        {"coefficients": coefficients, "error": error, "pairs": pairs},
        {"features": list(names), "offers": list(catalog.names)},
    )
    arms = ArmsConfig(business_as_usual=0.0, optimised=0.9)
    trial = Trial(KEY, arms.parts(usual=False), 0.02, None, date(2018, 1, 1))
    shop = Shop(catalog, trial, fabricate_rules(catalog), (20.0, 45.0))
    limit = Limit(mode, budget, 0.5)
    return Parts(shop, policy, limit, 8, gains, layout, fabricate_manifest(shop, limit))


def fabricate_manifest(shop: Shop, limit: Limit) -> dict[str, Any]:
    """Return what an exported table would say of itself."""
    interval = {"value": 0.1, "lo": 0.0, "hi": 0.2}
    budgets = [
        {"step": step, "published": step == PUBLISHED, "per_customer_week": limit.per_customer_week * step / PUBLISHED,
         "campaign": 0.0, "price": limit.price, "met": True, "cost": interval, "uplift": interval,
         "offers": dict.fromkeys(shop.catalog.names, 0)} for step in range(STEPS)
    ]  # fmt: skip
    return {
        "config": {"sha256": "c" * 64, "values": {"rules": {"contact_cap": 3, "margin_floor": 0.1}}},
        "data": {"panel": "d" * 64},
        "catalog": shop.catalog.to_dict(),
        "budget": {
            "mode": limit.mode.value,
            "price": limit.price,
            "per_customer_week": limit.per_customer_week,
        },
        "budgets": budgets,
        "values": {"uplift": interval},
        "provenance": {"learned": ["one"], "assumed": ["another"]},
        "git_commit": "0" * 40,
        "arms": arms_entry(shop.trial, [{"name": "nobody", "within_budget": True}]),
        "not_after": "2018-01-07",
        "evaluation": {"customers": 99},
        "model_card": {
            "name": "a network of chance", "owner": "a test", "use": "none", "data_window": {"weeks": 1},
            "population": {"customers": 99}, "metrics": {"uplift": interval}, "limits": ["never trained"],
            "expires": "2018-01-07",
        },
    }  # fmt: skip


def fabricate_rules(catalog: Catalog) -> Segments:
    """Return 9 rules."""
    limits = [(n, 8 * n, 8 * n + 8) for n in range(1, 9)]
    rules = []
    for number, low, high in [*limits, (9, None, None)]:
        conditions = () if low is None else (Condition("basket_usd", float(low), float(high)),)
        offer = catalog.offers[number % catalog.n]
        weights = {name: float(name == offer.name) for name in catalog.names}
        rules.append(
            Rule(number, conditions, 100, 0.1, 90, offer.name, offer.label, weights, True, 0.5, 0.8, 0.7, 0.9, 0.1)
        )
    return Segments(tuple(rules), 0.5, 0.9, False, 0.1, 0.1, tuple(feature(name) for name in KNOWN), 20)


def fabricate_customers(n: int, offers: int, first: int = 0, seed: int = 0) -> Customers:
    """Return n customers, whose numbers begin at `first`."""
    rng = np.random.default_rng([seed, first])
    profiles = pd.DataFrame(
        {
            "customer_id": pd.Series([f"c{number:010d}" for number in range(first, first + n)], dtype="str"),
            "weeks_since_visit": rng.integers(0, 12, n).astype(np.float64),
            "visits_per_week": rng.gamma(1.0, 0.5, n),
            "basket_usd": rng.gamma(2.0, 17.0, n),
            "promo_share": rng.uniform(0, 0.7, n),
            "category": pd.Series(rng.choice(np.array(["DAIRY", "BAKERY", "FRUIT"]), n), dtype="str"),
            "items": pd.Series(rng.choice(np.array(ITEMS), n), dtype="str"),
        }
    )
    features = rng.standard_normal((n, len(FEATURES) + len(CAMPAIGN_FEATURES) + offers - 1)).astype(np.float32)
    mask = rng.random((n, offers)) < 0.9
    mask[:, 0] = True
    capped = rng.random(n) < 0.05
    mask[capped, 1:] = False
    return Customers(profiles, features, mask, {Bound.CONTACT_CAP: capped})


def fabricate(folder: Path, customers: int, of_part: int, parts: Parts | None = None) -> None:
    """Write a scorer to `folder`/scorer and customers to `folder`/customers."""
    made = parts or fabricate_parts()
    write_scorer(folder / "scorer", made, KNOWN)
    for place, first in enumerate(range(0, customers, of_part)):
        some = fabricate_customers(min(of_part, customers - first), made.shop.catalog.n, first)
        write_customers(folder / "customers" / f"part-{place:05d}.parquet", some)


if __name__ == "__main__":
    fabricate(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
