"""An export says of every customer why, and what it says is true of the policy, the rules and the budgets."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from agents.registry import restore
from campaigns.decision import Context, ObservationLayout, OfferFeatures
from campaigns.rules import Rules
from evaluation.explaining.numbers import NUMBERS, WHOLE, Numbers
from evaluation.rollout import Play
from experiments.explained_customers import permitted_of
from experiments.explaining import Known
from experiments.scoring.customers import Customers, read_customers
from history.artifacts import read_tensors
from history.features import features
from serving.by_budget import PUBLISHED, STEPS
from serving.explanations import EXPLANATIONS, read_explanations
from serving.publishing import read_policy
from serving.rules import apply_rules
from serving.table import PolicyTable
from simulators.market import look, open_market
from simulators.reference import reference_market, reference_pool, reference_world

pytestmark = pytest.mark.xdist_group("tiny_run")


@pytest.fixture(scope="module")
def table(finished: Path) -> PolicyTable:
    return read_policy(finished / "policy")


@pytest.fixture(scope="module")
def told(finished: Path) -> pd.DataFrame:
    return read_explanations(finished / "policy" / EXPLANATIONS)


@pytest.fixture(scope="module")
def scorer(finished: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished / "scorer" / "scorer.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def customers(finished: Path, scorer: dict[str, Any]) -> Customers:
    path, layout = finished / "scorer" / "customers" / "part-00000.parquet", scorer["layout"]
    sizes = len(layout["feature_names"]), len(layout["action_names"])
    (found,) = read_customers(path, *sizes, tuple(scorer["known"]))
    return found


def test_every_customer_is_told_of(told: pd.DataFrame, table: PolicyTable) -> None:
    assert told["customer_id"].tolist() == table.customers["customer_id"].tolist()
    assert (told["chance"] > 0).all() and (told["driver_1"] != "").any()
    size = told[[f"part_{i}" for i in (1, 2, 3)]].abs().astype("float64").fillna(0.0).to_numpy()
    assert (np.diff(size, axis=1) <= 0).all()  # the largest first


def test_what_is_favoured_is_what_the_policy_does(
    finished: Path, scorer: dict[str, Any], customers: Customers, told: pd.DataFrame
) -> None:
    plain = scorer["layout"]
    offers = OfferFeatures(tuple(plain["offers"]["names"]), tuple(tuple(row) for row in plain["offers"]["rows"]))
    layout = ObservationLayout(tuple(plain["feature_names"]), tuple(plain["action_names"]), offers)
    kind, meta = (scorer["policies"]["policy"][name] for name in ("kind", "meta"))
    policy = restore(kind, layout, meta, read_tensors(finished / "scorer" / "policy.safetensors"))
    price = torch.full((len(told),), scorer["limit"]["price"])
    dist = policy.action_dist(Context(torch.tensor(customers.features), torch.tensor(customers.mask), price))
    assert told["favoured"].tolist() == [layout.action_names[i] for i in dist.argmax(dim=1).tolist()]
    np.testing.assert_allclose(told["chance"].to_numpy("float64"), dist.max(dim=1).values, atol=1e-6)


def test_the_change_that_is_told_changes_what_the_rules_give(
    table: PolicyTable, customers: Customers, told: pd.DataFrame
) -> None:
    asked = {c.feature for rule in table.segments.rules for c in rule.conditions}
    known = customers.profiles.set_index("customer_id").loc[told["customer_id"], sorted(asked)].reset_index(drop=True)
    offers = np.array([rule.offer for rule in table.segments.rules])
    before = apply_rules(table.segments, known)
    checked = 0
    for feature in asked - {"weeks_since_visit", "contacts_8w"}:  # these change what is allowed as well
        mine = (told["rule_feature"] == feature).to_numpy()
        low = told["rule_at_least"].astype("float64").fillna(known[feature].min())
        changed = known.assign(**{feature: np.where(mine, low, known[feature])})
        after = offers[apply_rules(table.segments, changed)]
        allowed = customers.mask[np.arange(len(told)), [table.catalog.index(one) for one in after]]
        given = np.where(allowed, after, "none")
        assert (given[mine] == told["rule_offer"].to_numpy()[mine]).all()
        assert (apply_rules(table.segments, changed)[mine] != before[mine]).all()
        checked += int(mine.sum())
    assert checked or not asked


def test_the_nearest_budget_that_changes_the_offer_is_told(table: PolicyTable, told: pd.DataFrame) -> None:
    offers = table.by_budget["offer"].to_numpy().reshape(STEPS, -1)
    for place in range(0, len(told), 7):
        mine, row = offers[:, place], told.iloc[place]
        steps = range(PUBLISHED + 1, STEPS) if mine[PUBLISHED] == "none" else range(PUBLISHED - 1, 0, -1)
        known = next(((k, mine[k]) for k in steps if mine[k] != mine[PUBLISHED]), None)
        assert known == (None if row["budget_offer"] == "" else (row["budget_step"], row["budget_offer"]))


def test_the_manifest_and_the_report_say_what_policy_and_rules_lean_on(finished: Path) -> None:
    found = json.loads((finished / "policy" / "manifest.json").read_text("utf-8"))["drivers"]
    assert set(found["outcomes"]) == {"face_value", "any_offer"}
    for outcome in found["outcomes"].values():
        assert set(outcome["policy"]) == set(outcome["rules"]) and outcome["kind"]
    assert '<section id="drivers">' in (finished / "report.html").read_text("utf-8")


def test_a_number_that_is_put_in_is_the_one_that_the_policy_would_see() -> None:
    market, world = reference_market(), reference_world()
    where = Play(market, world.observer, reference_pool(40, seed=5), worlds=1, seed=1)
    state = open_market(market, where.start, torch.zeros(40, dtype=torch.int64))
    sight = look(market, state)
    context = where.observer.observe(market, state, sight, torch.zeros(40))
    numbers = Numbers(where.observer)
    observed = numbers.of(features(where.start))
    assert set(observed) == set(NUMBERS) and all((observed[name] % 1 == 0).all() for name in WHOLE)
    torch.testing.assert_close(observed["weeks_since_visit"], where.start.weeks_since_visit.double())
    for name, values in observed.items():
        torch.testing.assert_close(numbers.put(context, name, values).features, context.features, atol=1e-4, rtol=1e-4)
    moved = numbers.put(context, "promo_share", torch.full((40,), 0.9, dtype=torch.float64))
    assert ((moved.features != context.features).sum(dim=1) <= 1).all()


@pytest.mark.parametrize("window", [8, 4])
def test_what_is_permitted_at_a_customers_own_numbers_is_what_the_market_allows(window: int) -> None:
    plain = reference_market()
    offers = tuple(replace(offer, min_weeks_since_visit=place) for place, offer in enumerate(plain.catalog.offers))
    catalog = replace(plain.catalog, offers=offers)
    market = replace(plain, catalog=catalog, columns=catalog.columns().to(torch.from_numpy), rules=Rules(2, window))
    start = reference_pool(200, seed=9)
    drawn = torch.rand(200, 8, generator=torch.Generator().manual_seed(1))
    start = replace(start, recent_contacts=(drawn < 0.2).float())
    where = Play(market, reference_world().observer, start, worlds=1, seed=1)
    state = open_market(market, start, torch.zeros(200, dtype=torch.int64))
    sight = look(market, state)
    numbers = {"weeks_since_visit": start.weeks_since_visit.double(), "contacts_8w": start.recent_contacts.sum(dim=1)}
    context = where.observer.observe(market, state, sight, torch.zeros(200))
    permitted, rows = permitted_of(Known(where, state, sight, context, numbers)), torch.arange(200)
    assert 0.05 < sight.mask[:, 1:].double().mean() < 0.9
    for name, values in numbers.items():
        assert permitted.when(name, values, numbers, rows).equal(sight.mask), name
    away = replace(start, weeks_since_visit=torch.full((200,), 2.0))
    then = look(market, replace(state, customer=away)).mask
    assert permitted.when("weeks_since_visit", torch.full((200,), 2.0), numbers, rows).equal(then)
    assert (permitted.contact_cap == 2) == (window == 8)
