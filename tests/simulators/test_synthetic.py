"""Shops of known truth do what it says; the most that a policy could bring is what trying all of them finds."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from campaigns.catalog import load_catalog
from campaigns.errors import InputError
from campaigns.offers import OfferKind
from history.artifacts import hash_file
from history.events import ARRAYS
from history.panel import build_panel
from history.prepare import Prepared, prepare
from history.sources import Tables
from simulators.effects.logged_offers import NO_OFFER, estimate_offers
from simulators.effects.offer_log import offer_rows
from simulators.market import open_market
from simulators.priors import KINDS, EffectPriors
from simulators.synthetic.log import QUIET_WEEKS, SyntheticLog, live_through
from simulators.synthetic.score import Worth, choose, one_week_market, total, upper_bound, worth_of_offers
from simulators.synthetic.source import Synthetic
from simulators.synthetic.tables import MAPPING, write_tables
from simulators.synthetic.truth import CATALOG, SyntheticTruth, TrueShop, kind_of, open_shop, true_effects

COUPON = KINDS.index(OfferKind.COUPON)
NO_EFFECT = EffectPriors(visit_coupon=0.0, spend_elasticity=0.0, redeem_coupon=2.0)
SMALL = SyntheticTruth(customers=400, weeks=20)
OFFERS = Path(__file__).parents[2] / "conf" / "offers" / "synthetic.yaml"


def lived(**settings: Any) -> SyntheticLog:
    return live_through(open_shop(dataclasses.replace(SMALL, **settings)))


def visited(log: SyntheticLog) -> NDArray[np.float64]:
    """Return the share of customers that visit in each week."""
    share: NDArray[np.float64] = (log.events.baskets > 0).mean(axis=0)
    return share


def take_in(mapping: Path) -> Prepared:
    return prepare(Tables(str(mapping)), mapping.parent / "prepared")


@pytest.fixture(scope="module")
def shop() -> TrueShop:
    return open_shop(SMALL)


@pytest.fixture(scope="module")
def log(shop: TrueShop) -> SyntheticLog:
    return live_through(shop)


@pytest.fixture(scope="module")
def tables(shop: TrueShop, log: SyntheticLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the mapping of the small shop's tables."""
    return write_tables(shop, log, tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def prepared(tables: Path) -> Prepared:
    return take_in(tables)


def true_worth(truth: SyntheticTruth) -> Worth:
    """Return the worth of offers to customers who had none yet."""
    shop = open_shop(truth)
    market = one_week_market(shop.market)
    return worth_of_offers(market, lambda luck: open_market(market, shop.start, shop.kind), lucks=2, seed=3)


# What the truth says.


def test_the_same_truth_gives_the_same_bytes_and_another_seed_others(
    tables: Path, log: SyntheticLog, tmp_path: Path
) -> None:
    shop = open_shop(SMALL)
    again = live_through(shop)
    for name in (*ARRAYS, "category_spend"):
        assert getattr(again.events, name).tobytes() == getattr(log.events, name).tobytes(), name
    pd.testing.assert_frame_equal(again.targeting, log.targeting)
    write_tables(shop, again, tmp_path)
    assert {p.name: hash_file(p) for p in tmp_path.iterdir()} == {
        p.name: hash_file(p) for p in tables.parent.iterdir() if p.is_file()
    }
    assert lived(seed=1).events.spend.tobytes() != log.events.spend.tobytes()


def test_offers_without_an_effect_are_worth_nothing_but_their_cost() -> None:
    worth = true_worth(dataclasses.replace(SMALL, effects=NO_EFFECT))
    assert (worth.cost[:, 1:] > 0).mean() > 0.8  # what a basket cannot pay for is not allowed, and then is no offer
    np.testing.assert_allclose(worth.value, -worth.cost, atol=2e-5)
    assert upper_bound(worth, 100.0) == pytest.approx(0.0, abs=1e-9)


def test_offers_with_an_effect_bring_more_visits_worth_more_than_they_cost_to_somebody() -> None:
    worth = true_worth(SMALL)
    allowed = worth.cost > 0
    bought = (open_shop(SMALL).start.spend_average[:, 2] > 0).numpy()[:, None]  # the others have no basket to save on
    assert (worth.value + worth.cost)[allowed & bought].min() > 0
    assert (worth.value + worth.cost)[allowed & ~bought].min(initial=0.0) == 0
    assert worth.value.max() > 0
    assert not worth.value[~allowed].any()


def test_without_heterogeneity_every_type_answers_alike() -> None:
    lift = true_effects(dataclasses.replace(SMALL, heterogeneity=0.0)).visit[:, COUPON]
    torch.testing.assert_close(lift, torch.full_like(lift, SMALL.effects.visit_coupon), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("heterogeneity", [0.3, 0.6, 2.0])
def test_the_lift_rises_with_the_type_and_its_mean_stays_the_mean(heterogeneity: float) -> None:
    lift = true_effects(dataclasses.replace(SMALL, heterogeneity=heterogeneity)).visit[:, COUPON]
    assert bool((lift.diff() >= -1e-6).all()) and lift[-1] > lift[0]
    assert float(lift.mean()) == pytest.approx(SMALL.effects.visit_coupon, rel=1e-4)


def test_the_more_a_shop_aims_at_the_busy_the_more_a_plain_comparison_of_visits_is_off() -> None:
    def naive(bias: float) -> float:
        """Return how much more often the reached visit than the others, where offers do nothing."""
        events = lived(customers=1_000, effects=NO_EFFECT, targeting_bias=bias, campaign_every=1).events
        weeks = slice(QUIET_WEEKS, None)
        reached, came = events.contacted[:, weeks] > 0, events.baskets[:, weeks] > 0
        return float(came[reached].mean() - came[~reached].mean())

    fair, biased, strongly = naive(0.0), naive(1.0), naive(3.0)
    reached = 0.15 * 1_000 * (SMALL.weeks - QUIET_WEEKS)
    assert abs(fair) < 4 * 0.5 / math.sqrt(reached)
    assert fair + 0.05 < biased < strongly - 0.03


def test_a_campaign_reaches_its_share_of_the_customers_every_so_many_weeks(log: SyntheticLog) -> None:
    reached = log.events.contacted.mean(axis=0)
    campaigns = np.arange(SMALL.weeks) >= QUIET_WEEKS
    campaigns &= np.arange(SMALL.weeks) % SMALL.campaign_every == 0
    assert (reached[~campaigns] == 0).all()
    assert (reached[campaigns] <= SMALL.campaign_share + 0.0025).all()  # a coupon above what a basket pays is not sent
    assert (reached[campaigns] >= 0.85 * SMALL.campaign_share).all()
    assert set(log.targeting["offer"]) == {"coupon_1", "coupon_2", "coupon_5"}


def test_a_shop_without_campaigns_has_a_history_from_which_no_offer_can_be_learned(tmp_path: Path) -> None:
    shop = open_shop(dataclasses.replace(SMALL, campaign_share=0.0))
    quiet = live_through(shop)
    assert len(quiet.targeting) == 0 and quiet.events.contacted.sum() == 0 and quiet.events.spend.sum() > 0
    rows = offer_rows(
        build_panel(quiet.events), quiet.targeting, CATALOG, shop.market.categories, np.arange(400), range(6, 20)
    )
    assert estimate_offers(rows, fatigue=0.15, fatigue_spread=0.06, seed=0).verdict == NO_OFFER
    taken = take_in(write_tables(shop, quiet, tmp_path))
    assert len(taken.targeting) == 0 and "campaigns" in taken.quality.missing_tables
    assert sorted(p.name for p in tmp_path.glob("*.parquet")) == ["products.parquet", "transactions.parquet"]


def test_a_holiday_brings_visits_in_its_week_and_changes_nothing_before_it() -> None:
    plain, festive = visited(lived(holiday=0.0)), visited(lived(holiday=1.0))
    week = SMALL.weeks - 3
    assert festive[week] > plain[week] + 0.05
    np.testing.assert_array_equal(festive[:week], plain[:week])


def test_a_drift_moves_the_late_weeks_the_way_it_points() -> None:
    down, plain, up = (visited(lived(drift=drift)) for drift in (-0.05, 0.0, 0.05))
    assert down[0] == plain[0] == up[0]
    assert down[-5:].mean() + 0.05 < plain[-5:].mean() < up[-5:].mean() - 0.05


def test_a_season_lifts_the_first_half_of_the_year_and_lowers_the_second() -> None:
    plain, wave = (visited(lived(weeks=52, seasonality=height, shock=0.0)) for height in (0.0, 0.8))
    assert wave[8:19].mean() > plain[8:19].mean() + 0.05
    assert wave[34:45].mean() < plain[34:45].mean() - 0.05


def test_customers_join_and_leave_as_the_truth_says() -> None:
    plain = visited(lived())
    assert visited(lived(arrivals=0.5))[0] < 0.7 * plain[0]
    assert visited(lived(churn=0.1))[-1] < 0.5 * plain[-1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("customers", 9), ("weeks", 11), ("categories", 1), ("categories", 41), ("campaign_share", 1.1),
        ("campaign_every", 0), ("heterogeneity", -0.1), ("shock", 6.0), ("targeting_bias", -1.0), ("predictable", 1.5),
    ],
)  # fmt: skip
def test_a_setting_that_no_shop_can_have_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"synthetic.*{name}.*{value}.*expected"):
        SyntheticTruth(**{name: value})


# What a policy could bring.


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget", [0.0, 0.3, 1.0, 2.0, 4.0, 50.0])
def test_the_bound_lies_above_the_best_of_all_allocations_by_less_than_one_customer(seed: int, budget: float) -> None:
    rng = np.random.default_rng(seed)
    value = np.column_stack([np.zeros(6), rng.normal(0.4, 0.6, (6, 3))])
    worth = Worth(value, np.column_stack([np.zeros(6), rng.uniform(0.05, 1.0, (6, 3))]))
    every = np.array(list(itertools.product(range(4), repeat=6)))
    rows = np.arange(6)
    affordable = worth.cost[rows, every].sum(axis=1) <= budget
    best = worth.value[rows, every].sum(axis=1)[affordable].max()
    choice = choose(worth, budget)
    reached, bound, one = total(worth.value, choice).sum(), upper_bound(worth, budget), value.max()
    assert total(worth.cost, choice).sum() <= budget + 1e-12
    assert reached <= best + 1e-9 and best <= bound + 1e-9
    assert bound <= best + one and bound <= reached + one


def test_money_that_does_not_bind_buys_everybody_their_best_offer() -> None:
    worth = true_worth(SMALL)
    choice = choose(worth, 1e6)
    np.testing.assert_array_equal(choice, worth.value.argmax(axis=1))
    assert upper_bound(worth, 1e6) == pytest.approx(worth.value.max(axis=1).sum())


def test_more_money_never_lowers_the_bound() -> None:
    worth = true_worth(SMALL)
    bounds = [upper_bound(worth, budget) for budget in (0.0, 1.0, 10.0, 40.0, 160.0)]
    assert bounds == sorted(bounds) and bounds[0] == pytest.approx(0.0, abs=1e-6) and bounds[-1] > 0


# The tables that it writes.


def test_the_weeks_that_are_read_back_from_the_tables_are_those_that_were_written(
    log: SyntheticLog, prepared: Prepared
) -> None:
    events, found = log.events, prepared.events
    at = np.searchsorted(np.array(events.customer_ids), np.array(found.customer_ids))
    assert tuple(np.array(events.customer_ids)[at]) == found.customer_ids
    unknown = np.setdiff1d(np.arange(events.n), at)
    assert not events.baskets[unknown].any() and not events.contacted[unknown].any()
    np.testing.assert_array_equal(found.weeks, events.weeks)
    for name in ("baskets", "redeemed", "contacted"):
        np.testing.assert_array_equal(getattr(found, name), getattr(events, name)[at], err_msg=name)
    for name in ("spend", "promo_spend", "saving"):
        np.testing.assert_allclose(getattr(found, name), getattr(events, name)[at], atol=0.0051, err_msg=name)
    category = [events.category_names.index(name) for name in found.category_names]
    np.testing.assert_allclose(found.category_spend, events.category_spend[at][:, :, category], atol=0.011)
    assert tuple(events.category_departments[i] for i in category) == found.category_departments
    assert not found.exposure.any()


def test_no_row_of_the_tables_is_set_aside_and_nothing_odd_is_found(prepared: Prepared) -> None:
    assert {name: table.rejected for name, table in prepared.quality.tables.items()} == dict.fromkeys(
        ("transactions", "products", "campaigns", "coupons", "redemptions"), 0
    )
    assert not prepared.quality.notes
    assert prepared.quality.coupon_values.redemptions == prepared.quality.coupon_values.matched > 0


def test_the_log_of_campaigns_is_read_back_too(log: SyntheticLog, prepared: Prepared) -> None:
    columns = [name for name in log.targeting if name != "customer"]
    written = log.targeting.sort_values(["customer_id", "start_week"], ignore_index=True)[columns]
    pd.testing.assert_frame_equal(prepared.targeting[columns], written, check_dtype=False)


def test_shelf_discounts_lean_to_no_category(shop: TrueShop, tables: Path) -> None:
    lines = pd.read_parquet(tables.parent / "transactions.parquet")
    category = lines["product_id"] // 10
    share = (lines["spend"] * (lines["retail_discount"] > 0)).groupby(category).sum() / lines["spend"].groupby(
        category
    ).sum()
    assert share.max() - share.min() < 0.1


def test_a_source_writes_its_tables_once_for_each_truth(tmp_path: Path) -> None:
    source = Synthetic(customers=20, weeks=12, folder=str(tmp_path))
    first = source.build().path
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert source.build().path == first and len(written) == 6
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == written
    other = dataclasses.replace(source, targeting_bias=2.0).build().path
    assert other != first and hash_file(other) != hash_file(first) and other.name == first.name == MAPPING


def test_a_source_writes_its_tables_anew_where_one_was_lost(tmp_path: Path) -> None:
    source = Synthetic(customers=20, weeks=12, folder=str(tmp_path))
    lines = source.build().tables["transactions"].path
    before = hash_file(lines)
    lines.unlink()
    assert hash_file(source.build().tables["transactions"].path) == before


def test_the_offers_of_the_preset_are_those_of_the_synthetic_shop() -> None:
    assert load_catalog(OFFERS) == CATALOG


def test_types_that_a_habit_gives_away_wholly_leave_nothing_hidden(shop: TrueShop) -> None:
    n = shop.start.n
    low, high = (torch.full((n,), hidden) for hidden in (0.01, 0.99))
    plain = dataclasses.replace(SMALL, predictable=1.0)
    assert torch.equal(kind_of(plain, shop.habit, low), kind_of(plain, shop.habit, high))
    assert (kind_of(SMALL, shop.habit, low) < kind_of(SMALL, shop.habit, high)).all()
    between = (kind_of(SMALL, shop.habit, low) <= shop.kind) & (shop.kind <= kind_of(SMALL, shop.habit, high))
    assert between.double().mean() > 0.9
