"""Logged decisions become what a policy would have seen and what came of it, and nothing after the split is read."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from campaigns.errors import InputError
from history.decisions import load_decisions
from history.features import FEATURES, features
from history.panel import Panel, build_panel
from history.prepare import prepare
from history.sources import Tables
from history.splits import Split
from simulators.logged_rounds import LoggedRounds, collect_rounds, offers_of
from simulators.market import Horizon, Market
from simulators.observation import Observer
from simulators.synthetic.log import live_through
from simulators.synthetic.tables import write_tables
from simulators.synthetic.truth import CATALOG, SyntheticTruth, open_shop

SPLIT = Split("train", np.arange(0, 900, 2), range(7, 18))
NO_OBSERVER = Observer(torch.zeros(len(FEATURES)), torch.ones(len(FEATURES)))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Market, Panel, pd.DataFrame]:
    """Return a market, the panel of a shop that drew its offers in it, and the decisions."""
    opened = open_shop(SyntheticTruth(customers=900, weeks=24, campaign_share=0.4, randomised=True))
    folder = tmp_path_factory.mktemp("shop")
    prepared = prepare(Tables(str(write_tables(opened, live_through(opened), folder))), folder / "prepared")
    decisions = load_decisions(folder / "prepared")
    assert decisions is not None
    return replace(opened.market, horizon=Horizon()), build_panel(prepared.events), decisions


def rounds_of(market: Market, panel: Panel, decisions: pd.DataFrame, split: Split = SPLIT) -> LoggedRounds:
    return collect_rounds(market, NO_OBSERVER, panel, split, decisions, offers_of(decisions, CATALOG, "decisions.csv"))


def test_rounds_are_the_split_s_decisions_with_what_was_known_before_each(
    shop: tuple[Market, Panel, pd.DataFrame],
) -> None:
    _, panel, decisions = shop
    rounds = rounds_of(*shop)
    inside = decisions[decisions["customer"].isin(SPLIT.customers) & decisions["slot"].isin(SPLIT.weeks)]
    # Money comes back in whole cents, so that a basket that just bore an offer may not bear it any more.
    assert rounds.n == len(inside) - sum(rounds.left_out.values()) > 0.99 * len(inside) > 1000
    logged = {(d.customer, d.slot): (d.offer, d.pscore) for d in inside.itertuples()}
    place = zip(rounds.customer.tolist(), (SPLIT.weeks.stop - rounds.weeks).tolist(), strict=True)
    told = [(CATALOG.names[a], p) for a, p in zip(rounds.action, rounds.pscore, strict=True)]
    assert [logged[each] for each in place] == told
    row = rounds.n // 2
    week, customer = int(SPLIT.weeks.stop - rounds.weeks[row]), int(rounds.customer[row])
    seen = features(panel.state_before(week))[customer]
    torch.testing.assert_close(torch.from_numpy(rounds.features[row, : len(FEATURES)]), seen.clamp(-10.0, 10.0))
    assert rounds.features[row, rounds.feature_names.index("campaign_left")] == (8 - week % 8) / 8


def test_outcomes_are_margin_less_what_was_saved_and_the_contacts_of_all_the_weeks(
    shop: tuple[Market, Panel, pd.DataFrame],
) -> None:
    _, panel, decisions = shop
    rounds = rounds_of(*shop)
    given = {(d.customer, d.slot): d.offer for d in decisions.itertuples()}
    for row in (0, rounds.n // 3, rounds.n - 1):
        customer, first = int(rounds.customer[row]), int(SPLIT.weeks.stop - rounds.weeks[row])
        cost = earned = 0.0
        for week in range(first, min(first + 3, SPLIT.weeks.stop)):
            cost += panel.events.saving[customer, week] + 0.02 * (given.get((customer, week), "none") != "none")
            earned += 0.28 * panel.events.spend[customer, week]
        assert rounds.cost[row, 2] == pytest.approx(cost, abs=1e-5)
        assert rounds.net[row, 2] == pytest.approx(earned - cost, abs=0.01)


def test_no_week_after_the_split_changes_what_is_learned(shop: tuple[Market, Panel, pd.DataFrame]) -> None:
    market, panel, decisions = shop
    events = panel.events
    later = {name: getattr(events, name).copy() for name in ("spend", "baskets", "saving", "category_spend")}
    for values in later.values():
        values[:, SPLIT.weeks.stop :] = 99.0
    changed = decisions.assign(offer=np.where(decisions["slot"] >= SPLIT.weeks.stop, "coupon_5", decisions["offer"]))
    mine, other = rounds_of(*shop), rounds_of(market, build_panel(replace(events, **later)), changed)
    for weeks in (1, 4):
        ours, theirs = mine.credited(weeks, seed=0), other.credited(weeks, seed=0)
        assert ours.n == theirs.n == int((mine.weeks >= weeks).sum())
        for name in ("features", "mask", "action", "reward", "cost", "pscore"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    # Of other customers than the split's nothing is read either.
    stranger = np.setdiff1d(np.arange(events.n), SPLIT.customers)
    for values in later.values():
        values[stranger] = 50.0
    again = rounds_of(market, build_panel(replace(events, **later)), decisions).credited(4, seed=0)
    assert np.array_equal(again.reward, mine.credited(4, seed=0).reward)


def test_what_comes_without_an_offer_is_taken_off(shop: tuple[Market, Panel, pd.DataFrame]) -> None:
    rounds = rounds_of(*shop)
    log = rounds.credited(1, seed=0)
    raw = rounds.net[:, 0]
    none = log.action == 0
    assert abs(log.reward[none].mean()) < 4 * log.reward[none].std() / none.sum() ** 0.5
    assert raw[none].mean() > 2.0 and log.reward.std() < 0.95 * raw.std()
    paid = [np.average(log.cost[log.action == a], weights=1 / rounds.pscore[log.action == a]) for a in range(4)]
    assert abs(paid[0]) < 0.02 < paid[1] < paid[2] < paid[3]


def test_weeks_in_which_an_earlier_offer_may_live_and_offers_that_are_forbidden_now_are_left_out(
    shop: tuple[Market, Panel, pd.DataFrame],
) -> None:
    market, panel, decisions = shop
    lasting = replace(market, columns=replace(market.columns, weeks=market.columns.weeks * 3))
    rounds = rounds_of(lasting, panel, decisions)
    given = {(d.customer, d.slot) for d in decisions.itertuples() if d.offer != "none"}
    first = SPLIT.weeks.stop - rounds.weeks
    assert not any((c, w - back) in given for c, w in zip(rounds.customer, first, strict=True) for back in (1, 2))
    assert rounds.left_out["an earlier offer may still have lived"] > 100
    strict = replace(market, rules=replace(market.rules, contact_cap=1))
    forbidding = rounds_of(strict, panel, decisions)
    assert forbidding.left_out["the rules of today allow no offer"] > 100
    assert forbidding.mask[np.arange(forbidding.n), forbidding.action].all()


def test_an_offer_that_the_catalog_does_not_have_is_named_with_its_row() -> None:
    decisions = pd.DataFrame({"offer": ["none", "coupon_9", "coupon_8"], "row": [3, 2, 7]})
    told = r"decisions\.csv: table 'decisions', row 2: offer is 'coupon_9'; expected one of the catalog's \(none, coup"
    with pytest.raises(InputError, match=told):
        offers_of(decisions, CATALOG, "decisions.csv")
