"""From a synthetic log to a policy, scored in the true market against the best that any policy could bring."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor

from campaigns.rules import Rules
from evaluation.estimate import Z95
from experiments.config import Config
from experiments.history import full_weeks
from experiments.main import set_up
from history.events import WeeklyEvents
from history.features import features
from history.panel import Panel, build_panel
from history.splits import Splits, split_history
from simulators.effects.audit import BundleAudit
from simulators.effects.logged_offers import estimate_offers
from simulators.effects.offer_log import OfferRows, offer_rows
from simulators.effects.posterior import Estimates, posterior
from simulators.effects.redeeming import learn_redeeming
from simulators.effects.shelf import ShelfEffects
from simulators.fit import fit_world
from simulators.market import Market, open_market
from simulators.priors import EffectPriors
from simulators.promotion import Categories
from simulators.synthetic.log import SyntheticLog, live_through
from simulators.synthetic.score import Worth, choose, one_week_market, total, upper_bound, worth_of_offers
from simulators.synthetic.truth import SyntheticTruth, TrueShop, kind_of, open_shop
from simulators.worlds import MarketTerms, build_market

Floats = NDArray[np.float64]
SILENT = "nothing to learn from: the synthetic shop has neither bundles nor shelf promotions"
BELIEVED_LUCKS = 48
"""Draws of what is believed over which a customer's worth is the mean: over few, who drew well looks worth an offer."""
PROFILE_PARTS = 4
"""Points at which what shows in no feature is set to average it out."""
CREDIT_WEEKS = 4
"""Weeks of margin that the knapsack on the log credits an offer with."""


def score_policies(config: Config, customers: int, index: int) -> dict[str, Any]:
    """Learn from one shop's log alone, choose one offer per customer, and score the choices in the true market."""
    set_up(config)
    rng = np.random.default_rng([20_018, index])
    truth = SyntheticTruth(
        seed=5000 + index,
        customers=customers,
        weeks=config.recovery.history_weeks,
        effects=EffectPriors(visit_coupon=float(rng.uniform(0.3, 0.7)), redeem_coupon=2.0),
        targeting_bias=float(rng.uniform(0.5, 1.5)),
        heterogeneity=config.recovery.heterogeneity,
    )
    shop = open_shop(truth)
    log = live_through(shop)
    worth = _true_worth(shop, log, shop.kind, config.recovery.lucks)
    profiles = _worth_by_profile(shop, log, config.recovery.lucks) if truth.heterogeneity else worth
    budget = config.recovery.budget * customers
    panel = build_panel(log.events)
    splits = split_history(log.events.customer_ids, full_weeks(truth.weeks), config.split)
    believed = {
        "learned": _learned_worth(config, shop, log, panel, splits),
        "knapsack_on_log": _knapsack_on_log(shop, log, panel, config.seed),
    }
    chosen = {name: choose(found, budget) for name, found in believed.items()}
    chosen["best_with_the_profiles"] = choose(profiles, budget)
    chosen["best_with_the_truth"] = choose(worth, budget)
    chosen["random"] = rng.integers(shop.market.n_actions, size=customers)
    return {
        "customers": customers,
        "bound": upper_bound(worth, budget) / customers,
        "bound_of_profiles": upper_bound(profiles, budget) / customers,
        "budget": config.recovery.budget,
        "policies": {name: _score(choice, worth, profiles, budget) for name, choice in chosen.items()},
    }


def _score(choice: NDArray[np.int64], worth: Worth, profiles: Worth, budget: float) -> dict[str, float]:
    """Return a choice's true value as a share of the upper bounds, with its 95 % interval over customers, and its cost.

    `share` is of what a policy could bring that knows each customer's type, `share_of_profiles` of what one could that
    sees their profiles alone. A choice that truly costs more than the budget, since it believed otherwise, is held
    against the bounds at its cost.
    """
    value, cost = total(worth.value, choice), float(total(worth.cost, choice).sum())
    bound = upper_bound(worth, max(budget, cost))
    error = Z95 * float(value.std() * len(value) ** 0.5)
    share = float(value.sum()) / bound
    return {
        "share": share,
        "lo": share - error / bound,
        "hi": share + error / bound,
        "share_of_profiles": float(value.sum()) / upper_bound(profiles, max(budget, cost)),
        "cost_ratio": cost / budget,
    }


def _true_worth(shop: TrueShop, log: SyntheticLog, kind: Tensor, lucks: int) -> Worth:
    """Return the true value of each offer to customers of these types; the weeks to come have no season or arrivals."""
    market = one_week_market(replace(shop.market, season=type(shop.market.season)()))
    start = log.after.customer
    return worth_of_offers(market, lambda luck: open_market(market, start, kind), lucks, seed=77)


def _worth_by_profile(shop: TrueShop, log: SyntheticLog, lucks: int) -> Worth:
    """Return the true value of each offer, in the mean over the types that a customer's promotion habit allows.

    The habit is what of a type shows in features, so nobody who sees features alone can tell customers' worth better.
    """
    n = shop.start.n
    parts = [
        _true_worth(shop, log, kind_of(shop.truth, shop.habit, torch.full((n,), (part + 0.5) / PROFILE_PARTS)), lucks)
        for part in range(PROFILE_PARTS)
    ]
    return Worth(np.mean([part.value for part in parts], axis=0), np.mean([part.cost for part in parts], axis=0))


def _learned_worth(config: Config, shop: TrueShop, log: SyntheticLog, panel: Panel, splits: Splits) -> Worth:
    """Return the value of each offer in the market that is fitted to the log, over draws of what is believed."""
    categories = _categories(shop, log.events)
    fit = fit_world(panel, log.targeting, splits.train, categories, config.market.response, config.seed)
    catalog = shop.market.catalog
    rows = offer_rows(panel, log.targeting, catalog, categories, splits.train.customers, splits.train.weeks)
    priors = EffectPriors()
    offers = estimate_offers(rows, priors.fatigue, priors.fatigue * priors.relative_spread, config.seed)
    estimates = Estimates(
        bundles=BundleAudit(SILENT, False, None, 0.5, {}),
        offers=offers,
        shelf=ShelfEffects(SILENT, None, None, None, 0.0, {}),
    )
    informed = learn_redeeming(posterior(priors, estimates).priors, panel, rows, fit.world.response, catalog)
    terms = MarketTerms(catalog, Rules(contact_cap=8), informed, config.market.horizon, config.market.draws)
    market: Market = one_week_market(build_market(fit.world, terms))
    start, n = log.after.customer, panel.events.n

    def begin(luck: int) -> Any:
        draw = (torch.arange(n) + 37 * luck) % market.effects.n_draws
        return open_market(market, start, draw)

    return worth_of_offers(market, begin, BELIEVED_LUCKS, seed=99)


def _categories(shop: TrueShop, events: WeeklyEvents) -> Categories:
    """Return the shop's categories with the popularity that the log shows."""
    spend = torch.from_numpy(events.category_spend.sum(axis=(0, 1), dtype=np.float64))
    return replace(shop.market.categories, popularity=(spend / spend.sum()).float())


def _knapsack_on_log(shop: TrueShop, log: SyntheticLog, panel: Panel, seed: int) -> Worth:
    """Return what a planner without a market believes: boosted trees of margin on features and offer, from the log."""
    market, n = shop.market, panel.events.n
    everyone, weeks = np.arange(n), range(1, panel.n_weeks - CREDIT_WEEKS)
    rows = offer_rows(panel, log.targeting, market.catalog, market.categories, everyone, weeks)
    assert rows is not None
    keep = _some_rows(rows, seed)
    spend = np.cumsum(np.pad(panel.events.spend.astype(np.float64), ((0, 0), (1, 0))), axis=1)
    margin = float(market.categories.margin.mean())
    later = spend[rows.customer, rows.week + CREDIT_WEEKS] - spend[rows.customer, rows.week]
    redeemed = panel.events.redeemed[rows.customer, rows.week]
    face = market.columns.cap.numpy() / 100.0
    contact = market.columns.contact.numpy() / 100.0
    cost = redeemed * face[rows.offer] + contact[rows.offer]
    x = np.column_stack([rows.x, rows.offer])[keep]
    gain = HistGradientBoostingRegressor(max_iter=150, random_state=seed).fit(x, (margin * later - cost)[keep])
    paid = HistGradientBoostingRegressor(max_iter=80, random_state=seed).fit(x, cost[keep])
    now = panel.events.n
    known = features(log.after.customer).double().numpy()
    value, costs = np.zeros((now, market.n_actions)), np.zeros((now, market.n_actions))
    base = gain.predict(np.column_stack([known, np.zeros(now)]))
    for offer in range(1, market.n_actions):
        with_offer = np.column_stack([known, np.full(now, offer)])
        value[:, offer] = gain.predict(with_offer) - base
        costs[:, offer] = np.maximum(paid.predict(with_offer), 0.0)
    return Worth(value, costs)


def _some_rows(rows: OfferRows, seed: int) -> NDArray[np.int64]:
    """Return at most 400,000 rows, drawn by chance: trees of more are no better, only slower."""
    order: NDArray[np.int64] = np.random.default_rng(seed).permutation(len(rows))[:400_000]
    return order
