"""What an explanation says of each customer: what moves the policy's choice, and what would change the offer."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.agent import TrainedPolicy
from campaigns.decision import Context
from campaigns.offers import Catalog
from evaluation.estimate import Z95
from evaluation.explaining.flips import NONE, WEEKS, Flips, Permitted, contact_cap_ends, flip_policy, flip_rules
from evaluation.explaining.numbers import WHOLE, Numbers
from evaluation.explaining.players import PLAYERS, take
from evaluation.explaining.shapley import ROWS, Game, mean_and_error, sampled
from experiments.explaining import BACKGROUND, SEED, Known, rulings_of
from history.state import CONTACT_WINDOW, NEVER
from serving.by_budget import PUBLISHED, STEPS
from serving.explanations import LISTED, typed
from serving.reasons import Bound
from serving.rules import Segments
from simulators.market import look

PART: Final = 0.01
"""Change of a chance from which a group is told to a customer."""


@torch.no_grad()
def explain_customers(
    policy: TrainedPolicy, known: Known, segments: Segments, offers: NDArray[np.int64], decisions: pd.DataFrame
) -> pd.DataFrame:
    """Return the rows of `serving.explanations`, sorted by customer_id.

    Args:
        policy: The chosen one.
        known: Of n customers.
        segments: The rules that stand for the policy.
        offers: Everybody's offer at each of the other budgets, shape (STEPS, n).
        decisions: customer_id and bound of the table's rows, in the order of `known`.
    """
    catalog, rows = known.catalog, torch.arange(len(known.context.price), device=known.context.price.device)
    now, chance = _favoured(policy, known.context)
    permitted = permitted_of(known)
    columns = {
        "customer_id": decisions["customer_id"].to_numpy(),
        "favoured": _names(catalog, now),
        "chance": chance.clamp(max=1.0).cpu().numpy(),
        **_drivers(policy, known, now, rows),
        **_rule_columns(flip_rules(rulings_of(segments, catalog), known.numbers, permitted), catalog),
        **_policy_columns(_policy_flips(policy, known, permitted, now), catalog),
        **_budget_columns(offers, catalog),
        "ends_in_weeks": _ends_in(known, decisions["bound"]),
    }
    order = np.argsort(columns["customer_id"], kind="stable")
    return typed(pd.DataFrame(columns).iloc[order].reset_index(drop=True))


def _favoured(policy: TrainedPolicy, context: Context[Tensor]) -> tuple[Tensor, Tensor]:
    """Return each row's most likely offer and its chance, shape (n,) each."""
    every = torch.arange(len(context.price), device=context.price.device)
    found = [policy.action_dist(take(context, rows)).double().max(dim=1) for rows in torch.split(every, ROWS)]
    return torch.cat([one.indices for one in found]), torch.cat([one.values for one in found])


def _drivers(policy: TrainedPolicy, known: Known, now: Tensor, rows: Tensor) -> dict[str, Any]:
    """Return what moves the chance of each customer's favoured offer most, against the background."""
    background = take(known.context, known.some(BACKGROUND, SEED + 1))

    def outcome(row: Context[Tensor], who: Tensor) -> Tensor:
        return policy.action_dist(row).gather(1, now[who].unsqueeze(1))

    means, errors = [], []
    for some in torch.split(rows, ROWS // BACKGROUND):  # what is kept between stays small, however many there are

        def of_some(row: Context[Tensor], who: Tensor, some: Tensor = some) -> Tensor:
            return outcome(row, some[who])

        mean, error = mean_and_error(sampled(Game(of_some, known.table, take(known.context, some), background), SEED))
        means.append(mean[:, :, 0])
        errors.append(error[:, :, 0])
    parts, spread = torch.cat(means).cpu().numpy(), torch.cat(errors).cpu().numpy()
    typical = policy.action_dist(background).double().mean(dim=0)[now].clamp(max=1.0).cpu().numpy()
    return {"typical": typical, **_largest(parts, spread)}


def _largest(parts: NDArray[np.float64], errors: NDArray[np.float64]) -> dict[str, Any]:
    """Return the groups that are told: those that are large enough and clear of the sample's error."""
    told = np.where((np.abs(parts) >= PART) & (np.abs(parts) > Z95 * errors), np.abs(parts), 0.0)
    order = np.argsort(-told, axis=1, kind="stable")[:, :LISTED]
    rows = np.arange(len(parts))
    names = np.array([one.value for one in PLAYERS], dtype=object)
    columns: dict[str, Any] = {}
    for i in range(LISTED):
        place = order[:, i]
        there = told[rows, place] > 0
        columns[f"driver_{i + 1}"] = np.where(there, names[place], "")
        columns[f"part_{i + 1}"] = np.where(there, parts[rows, place], np.nan)
        columns[f"error_{i + 1}"] = np.where(there, errors[rows, place], np.nan)
    return columns


def permitted_of(known: Known) -> Permitted:
    """Return what customers may get, and what they might if they had stayed away and nobody had written to them."""
    market, customer = known.where.market, known.state.customer
    whole = market.rules.contact_window_weeks == CONTACT_WINDOW and market.shops == 1
    other = {"weeks_since_visit": torch.full_like(customer.weeks_since_visit, NEVER)}
    if whole:
        other["recent_contacts"] = torch.zeros_like(customer.recent_contacts)
    free = look(market, replace(known.state, customer=replace(customer, **other))).mask
    away = torch.tensor([float(offer.min_weeks_since_visit) for offer in market.catalog.offers], device=free.device)
    return Permitted(known.sight.mask, free, away, market.rules.contact_cap if whole else None)


def _policy_flips(policy: TrainedPolicy, known: Known, permitted: Permitted, now: Tensor) -> Flips:
    """Find what would change the policy's favoured offer."""
    numbers = Numbers(known.where.observer)

    def favoured(name: str, values: Tensor, rows: Tensor) -> Tensor:
        mask = permitted.when(name, values, known.numbers, rows)
        return _favoured(policy, replace(numbers.put(known.context, name, values), mask=mask))[0]

    return flip_policy(now, favoured, numbers.of(known.sight.features), WHOLE)


def _rule_columns(found: Flips, catalog: Catalog) -> dict[str, Any]:
    name, there = _feature(found)
    limits = {"at_least": found.at_least.cpu().numpy(), "below": found.below.cpu().numpy()}
    told = {f"rule_{side}": np.where(there & np.isfinite(one), one, np.nan) for side, one in limits.items()}
    return {"rule_feature": name, **told, "rule_offer": np.where(there, _names(catalog, found.offer.clamp(min=0)), "")}


def _policy_columns(found: Flips, catalog: Catalog) -> dict[str, Any]:
    name, there = _feature(found)
    return {
        "policy_feature": name,
        "policy_value": np.where(there, found.at_least.cpu().numpy(), np.nan),
        "policy_offer": np.where(there, _names(catalog, found.offer.clamp(min=0)), ""),
    }


def _feature(found: Flips) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    place = found.feature.cpu().numpy()
    return np.array([*found.names, ""], dtype=object)[place], place != NONE  # NONE is the last


def _budget_columns(offers: NDArray[np.int64], catalog: Catalog) -> dict[str, Any]:
    """Return the nearest other budget that changes the offer: a larger one for those without, a smaller one for others.

    That without any money nobody gets anything need not be told.

    Args:
        offers: Shape (STEPS, n).
        catalog: Names them.
    """
    published = offers[PUBLISHED]
    steps = [*range(PUBLISHED + 1, STEPS), *range(PUBLISHED - 1, 0, -1)]
    other = np.stack([(offers[k] != published) & ((published == 0) == (k > PUBLISHED)) for k in steps])
    first = np.array(steps)[other.argmax(axis=0)]
    there = other.any(axis=0)
    names = np.array(catalog.names, dtype=object)[offers[first, np.arange(offers.shape[1])]]
    return {"budget_step": np.where(there, first, np.nan), "budget_offer": np.where(there, names, "")}


def _ends_in(known: Known, bound: "pd.Series[str]") -> NDArray[np.float64]:
    """Return in how many weeks what bound the decision ends, NaN where that cannot be told or nothing did."""
    rules = known.where.market.rules
    contacts = known.state.customer.recent_contacts[:, : rules.contact_window_weeks]
    until = contact_cap_ends(contacts, rules.contact_cap).double().cpu().numpy()
    alone = known.where.market.shops == 1  # else the cap counts what came from other shops too
    found = np.where((bound == Bound.CONTACT_CAP.value) & (until > 0) & alone, until, np.nan)
    least = min(offer.min_weeks_since_visit for offer in known.catalog.offers[1:])
    away = least - known.numbers[WEEKS].cpu().numpy()
    return np.where((bound == Bound.NOT_ELIGIBLE.value) & (away > 0), away, found)


def _names(catalog: Catalog, offer: Tensor) -> NDArray[np.object_]:
    found: NDArray[np.object_] = np.array(catalog.names, dtype=object)[offer.cpu().numpy()]
    return found
