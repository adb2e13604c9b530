from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from history.features import taste
from history.panel import states_before
from history.state import State, initial_state
from simulators.profiles.churn import fit_churn, score_churn
from simulators.profiles.demographics import describe_demographics, wilson_interval
from simulators.profiles.preferences import favourite_categories, segment_tastes
from simulators.profiles.rhythm import describe_rhythm, visit_gaps
from simulators.profiles.sensitivity import fit_sensitivity, score_sensitivity
from simulators.promotion import Categories
from tests.history.fabricated_weeks import CATEGORIES, fabricate_weeks


@pytest.fixture(scope="module")
def state() -> State:
    return states_before(fabricate_weeks(n=200), range(53, 54))[0]


@pytest.fixture(scope="module")
def categories() -> Categories:
    popularity = torch.tensor([0.4, 0.3, 0.1, 0.1, 0.1])
    return Categories(CATEGORIES, torch.full((5,), 0.3), popularity, torch.ones(5))


def test_gaps_are_the_weeks_between_visits_and_even_ones_are_regular() -> None:
    active = np.zeros((4, 12))
    active[0, ::3] = 1  # gaps 3, 3, 3
    active[1, [0, 1, 11]] = 1  # gaps 1 and 10
    active[2, 5] = 1
    gap, regularity = visit_gaps(active)
    assert gap.tolist() == [3.0, 5.5, 12.0, 12.0]
    assert regularity == pytest.approx([1.0, 5.5**2 / 50.5, 0.0, 0.0])


def test_rhythm_has_every_half_life_and_nothing_unknown(state: State) -> None:
    rows = describe_rhythm(state, fabricate_weeks(n=200).baskets, "EUR")
    assert {f"spend_{h}w_eur" for h in (1, 4, 13, 52)} <= set(rows.columns)
    assert not rows.isna().any(axis=None)


def test_who_has_been_away_longer_is_likelier_to_stay_away(state: State) -> None:
    silent = state.weeks_since_visit.numpy() > 6
    score = fit_churn(state, silent)
    later = score_churn(score, replace(state, weeks_since_visit=state.weeks_since_visit + 8))
    now = score_churn(score, state)
    assert (later >= now).all()
    assert ((now >= 0) & (now <= 1)).all()


def test_price_sensitivity_rises_with_promotion_share_and_with_redemptions(state: State) -> None:
    score = fit_sensitivity(state)
    now = score_sensitivity(score, state)
    assert ((now >= 0) & (now <= 1)).all()
    for more in (
        replace(state, promo_average=(1.3 * state.promo_average).minimum(state.spend_average[:, 2])),
        replace(state, redeemed_average=state.redeemed_average + 0.1),
    ):
        assert (score_sensitivity(score, more) >= now - 1e-9).all()


def test_who_meets_more_promotions_and_buys_as_many_is_less_sensitive(state: State) -> None:
    exposed = replace(state, promo_average=state.exposure_average * state.spend_average[:, 2])
    score = fit_sensitivity(exposed)
    more = replace(exposed, exposure_average=exposed.exposure_average + 0.2)
    assert score_sensitivity(score, more).mean() < score_sensitivity(score, exposed).mean()


@pytest.mark.parametrize("n", [1, 50])
def test_customers_without_any_history_rank_in_the_middle(n: int) -> None:
    nothing = initial_state(n, 5)
    rank = score_sensitivity(fit_sensitivity(nothing), nothing)
    assert rank.tolist() == [0.5] * n


def test_favourites_are_the_largest_named_shares_with_their_lift(state: State, categories: Categories) -> None:
    rows = favourite_categories(categories, state)
    shares = taste(state).numpy()[:, :-1]
    best = shares.argmax(axis=1)
    bought = shares.max(axis=1) > 0
    assert rows.loc[bought, "taste_1"].tolist() == [CATEGORIES[i] for i in best[bought]]
    lift = shares.max(axis=1) / np.array([0.4, 0.3, 0.1, 0.1])[best]
    assert rows["taste_lift_1"].to_numpy() == pytest.approx(lift, rel=1e-5)
    assert rows.loc[~bought, "taste_1"].tolist() == [""] * int((~bought).sum())


def test_a_shop_of_one_category_has_no_favourites_to_tell(categories: Categories) -> None:
    only = Categories(("other",), torch.ones(1), torch.ones(1), torch.zeros(1))
    rows = favourite_categories(only, initial_state(3, 1))
    assert rows["taste_1"].tolist() == ["", "", ""]
    assert segment_tastes(only, initial_state(3, 1), torch.zeros(3, dtype=torch.int64), 1) == [[]]


def people() -> tuple[pd.DataFrame, "pd.Series[str]"]:
    age = ["young"] * 100 + ["old"] * 95 + ["ancient"] * 5 + [None] * 40
    segment = np.where(np.arange(240) % 2 == 0, "a", "b")
    return pd.DataFrame({"customer": range(240), "customer_id": range(240), "age": age}), pd.Series(segment)


def test_demographic_shares_are_of_the_known_and_small_cells_are_hidden() -> None:
    rows = {(row["value"], row["segment"]): row for row in describe_demographics(*people())}
    young = rows["young", "a"]
    assert (young["customers"], young["of"], young["share"]) == (50, 100, 0.5)
    assert young["lo"] < 0.5 < young["hi"]
    assert rows["other", "a"]["share"] is None and rows["other", "a"]["customers"] is None


def test_a_hidden_cell_cannot_be_worked_out_from_the_others() -> None:
    customers, segment = people()
    customers["age"] = ["young"] * 130 + ["old"] * 110
    segment[:] = np.where((np.arange(240) < 120) | (np.arange(240) >= 235), "a", "b")
    rows = describe_demographics(customers, segment)
    hidden = {(row["value"], row["segment"]) for row in rows if row["share"] is None}
    for one in ("young", "old"):
        assert len({cell for cell in hidden if cell[0] == one}) != 1
    for one in ("a", "b"):
        assert len({cell for cell in hidden if cell[1] == one}) != 1
    assert hidden


def test_the_interval_of_a_share_is_wilsons() -> None:
    """15 of 148, from Newcombe, Statistics in Medicine 17, 1998, table I (method 3 without continuity correction)."""
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
