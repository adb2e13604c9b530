from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from history.panel import states_before
from history.state import initial_state
from simulators.profiles import bg_bb, bg_nbd, gamma_gamma
from simulators.profiles.lifetime import fit_lifetime, learning_weeks, value_customers
from simulators.profiles.spend_quantiles import LEVELS, fit_spend_quantiles, forecast_spend
from tests.history.fabricated_weeks import fabricate_weeks


def test_bg_bb_gives_every_sequence_of_weeks_its_share_of_one() -> None:
    weeks = bg_bb.weeks_of(np.array(list(product((0.0, 1.0), repeat=6))))
    total = np.exp(bg_bb.log_likelihood(bg_bb.BgBb(1.2, 0.7, 0.6, 2.8), weeks)).sum()
    assert total == pytest.approx(1.0, abs=1e-12)


def test_bg_bb_agrees_with_itself_about_the_weeks_ahead() -> None:
    model, ahead = bg_bb.BgBb(1.2, 0.7, 0.6, 2.8), 4
    for past in ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 1.0]):
        futures = np.array([[*past, *f] for f in product((0.0, 1.0), repeat=ahead)])
        now = bg_bb.weeks_of(np.array([past]))
        chance = np.exp(bg_bb.log_likelihood(model, bg_bb.weeks_of(futures)) - bg_bb.log_likelihood(model, now))
        visits = futures[:, len(past) :].sum(axis=1)
        assert bg_bb.expected_weeks(model, now, ahead)[0] == pytest.approx(chance @ visits)
        assert bg_bb.chance_of_silence(model, now, ahead)[0] == pytest.approx(chance[visits == 0].sum())


def test_who_came_in_the_last_week_is_still_a_customer() -> None:
    rows = bg_bb.weeks_of(np.array([[1.0, 0, 1, 0, 1], [0.0, 0, 1, 0, 0], [1.0, 1, 1, 0, 0]]))
    alive = bg_bb.chance_alive(bg_bb.BgBb(1.0, 1.0, 1.0, 5.0), rows)
    assert alive[0] == pytest.approx(1.0)
    assert alive[2] < alive[1] < 1.0  # a busy customer's silence says more


def test_bg_bb_recovers_the_parameters_of_a_simulated_shop() -> None:
    rng, truth, n, t = np.random.default_rng(4), bg_bb.BgBb(1.2, 0.8, 0.8, 6.0), 20_000, 26
    chance, leaving = rng.beta(truth.a, truth.b, (n, 1)), rng.beta(truth.c, truth.d, (n, 1))
    living = (rng.random((n, t)) >= leaving).cumprod(axis=1)
    active = living * (rng.random((n, t)) < chance)
    rows = bg_bb.weeks_of(active.astype(float))
    fit = bg_bb.fit_bg_bb(rows)
    assert (fit.a / (fit.a + fit.b), fit.c / (fit.c + fit.d)) == pytest.approx((0.6, 0.1176), rel=0.05)
    assert bg_bb.chance_alive(fit, rows).mean() == pytest.approx(living[:, -1].mean(), abs=0.01)


def test_bg_nbd_recovers_the_parameters_of_a_simulated_shop() -> None:
    """Parameters as published for CDNOW (Fader, Hardie & Lee 2005), with more customers than it had."""
    truth, n = bg_nbd.BgNbd(0.243, 4.414, 0.793, 2.426), 40_000
    rows = simulate_purchases(truth, n, weeks=39.0, rng=np.random.default_rng(7))
    fit = bg_nbd.fit_bg_nbd(rows)
    assert (fit.r, fit.alpha) == pytest.approx((truth.r, truth.alpha), rel=0.08)
    assert fit.a / (fit.a + fit.b) == pytest.approx(truth.a / (truth.a + truth.b), rel=0.1)


def test_bg_nbd_expects_what_a_simulated_shop_then_buys() -> None:
    model, n = bg_nbd.BgNbd(1.5, 4.0, 0.8, 2.5), 40_000
    whole = simulate_purchases(model, n, weeks=60.0, rng=np.random.default_rng(8), split=30.0)
    first, later = whole
    expected = bg_nbd.expected_purchases(model, first, 30.0)
    busy = first.repeats >= 3
    for part in (busy, ~busy):
        error = later[part].std() / np.sqrt(part.sum())
        assert expected[part].mean() == pytest.approx(later[part].mean(), abs=4 * error)


def simulate_purchases(model, n, weeks, rng, split=None):
    rate = rng.gamma(model.r, 1 / model.alpha, n)
    leaving = rng.beta(model.a, model.b, n)
    time, here = np.zeros(n), np.ones(n, dtype=bool)
    count, last, later = np.zeros(n), np.zeros(n), np.zeros(n)
    border = weeks if split is None else split
    while here.any():
        time = time + rng.exponential(1 / rate)
        here &= time < weeks
        early = here & (time < border)
        count += early
        later += here & (time >= border)
        last = np.where(early, time, last)
        here &= rng.random(n) >= leaving
    rows = bg_nbd.Purchases(count, last, np.full(n, border))
    return rows if split is None else (rows, later)


def test_gamma_gamma_recovers_its_parameters_and_believes_a_customer_who_bought_often() -> None:
    rng, truth, n = np.random.default_rng(5), gamma_gamma.GammaGamma(6.0, 4.0, 15.0), 20_000
    count = rng.integers(1, 12, n).astype(float)
    mean = rng.gamma(truth.p * count) / rng.gamma(truth.q, 1 / truth.gamma, n) / count
    fit = gamma_gamma.fit_gamma_gamma(count, mean)
    assert (fit.p, fit.q, fit.gamma) == pytest.approx((truth.p, truth.q, truth.gamma), rel=0.1)
    far, near = gamma_gamma.expected_amount(truth, np.array([1e6, 1.0]), np.array([99.0, 99.0]))
    assert far == pytest.approx(99.0, abs=0.01)
    assert 30.0 < near < 99.0  # 30 is the mean of all customers


def test_spend_quantiles_hold_their_share_of_outcomes() -> None:
    rng = np.random.default_rng(6)
    past = rng.gamma(2.0, 15.0, (6000, 1)) * np.ones(3)
    future = past[:, 0] * rng.gamma(4.0, 0.25, 6000)
    model = fit_spend_quantiles(past, future)
    quantiles = past @ model.weights[:, 1:].numpy().T + model.weights[:, 0].numpy()
    below = (future[:, None] <= quantiles).mean(axis=0)
    assert below == pytest.approx(LEVELS, abs=0.02)


def test_more_past_spend_never_forecasts_less_even_where_the_history_says_so() -> None:
    rng = np.random.default_rng(6)
    past = rng.gamma(2.0, 15.0, (2000, 3))
    future = 100.0 + past[:, 0] - 0.3 * past[:, 1]
    assert (fit_spend_quantiles(past, future).weights[:, 1:] >= 0).all()


def test_forecasts_are_ascending_and_never_negative() -> None:
    rng = np.random.default_rng(1)
    model = fit_spend_quantiles(rng.gamma(2.0, 15.0, (300, 3)), rng.gamma(2.0, 15.0, 300))
    events = fabricate_weeks()
    forecast = forecast_spend(model, states_before(events, range(53, 54))[0])
    assert (forecast >= 0).all() and (forecast.diff(dim=1) >= 0).all()


def test_what_comes_after_the_cut_never_reaches_the_fit() -> None:
    events = fabricate_weeks(n=300)
    later = {name: getattr(events, name).copy() for name in ("spend", "baskets")}
    for array in later.values():
        array[:, 27:] = 9.0
    changed = replace(events, **later)
    customers = np.arange(0, 300, 2)
    fits = [
        fit_lifetime(one, states_before(one, range(28)), customers, end=27, horizon=13) for one in (events, changed)
    ]
    assert torch.equal(fits[0].spend.weights, fits[1].spend.weights)
    assert fits[0].survival == fits[1].survival


@pytest.mark.parametrize(
    ("end", "horizon", "weeks"), [(27, 13, [8, 10, 12, 14]), (53, 26, [21, 23, 25, 27]), (12, 6, [])]
)
def test_customers_are_learned_from_at_weeks_whose_future_is_known(end: int, horizon: int, weeks: list[int]) -> None:
    assert list(learning_weeks(end, horizon)) == weeks


def test_a_history_without_spend_has_no_fitted_value_and_no_nan() -> None:
    events = fabricate_weeks(n=150)
    nothing = replace(events, spend=events.spend * 0, category_spend=events.category_spend * 0)
    states = states_before(nothing, range(54))
    fit = fit_lifetime(nothing, states, np.arange(150), 53, 26)
    value = value_customers(fit, states[53], (nothing.baskets[:, 1:] > 0).astype(float))
    assert fit.spend is None
    for array in (value.half_year, value.year_ratio, value.alive):
        assert np.isfinite(array).all()


@pytest.mark.parametrize("visits", [0.0, 1.0])
def test_customers_who_are_all_alike_give_finite_survival(visits: float) -> None:
    rows = bg_bb.weeks_of(np.full((1, 20), visits))
    model = bg_bb.fit_bg_bb(rows)
    for values in (bg_bb.chance_alive(model, rows), bg_bb.expected_weeks(model, rows, 52)):
        assert np.isfinite(values).all()


def test_a_customer_of_whom_nothing_is_known_can_be_valued() -> None:
    events = fabricate_weeks(n=300)
    states = states_before(events, range(54))
    fit = fit_lifetime(events, states, np.arange(300), 53, 26)
    value = value_customers(fit, initial_state(2, 5), np.zeros((2, 52)))
    assert np.isfinite(value.half_year).all() and np.isfinite(value.year_ratio).all()
