"""Fitting finds the customers that a known model made, says how sure it is, and comes back from disk to the bit."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from campaigns.errors import InputError
from evaluation.response_fit import calibration_slope
from history.artifacts import read_json, write_json
from history.features import FEATURES, features
from history.panel import build_panel
from history.splits import Split
from history.state import State
from simulators.fit import category_weeks, customer_weeks, describe_fit, fit_world, targeted_campaigns
from simulators.fitting import (
    CategoryWeeks,
    ResponseConfig,
    fit_response,
    mean_spend_given_visit,
    mean_visit_probability,
)
from simulators.market import Market
from simulators.priors import EffectPriors
from simulators.provenance import Origin
from simulators.redemption import FALLBACK, RedemptionModel, TargetedCampaigns, fit_redemption
from simulators.reference import CATEGORIES, reference_pool, reference_terms, reference_world
from simulators.response import Family, ResponseModel
from simulators.shopping import draw_noise, shop, spend_given_visit
from simulators.visit import appetite, category_shares, promo_share
from simulators.worlds import (
    MarketConfig,
    MarketTerms,
    build_market,
    describe_categories,
    read_pool,
    read_world,
    write_pool,
    write_world,
)
from tests.history.fabricated_weeks import fabricate_weeks
from tests.simulators.play import LEANS, ask_anything, ask_nothing, live, open_at, tensors_of

TRUTH = reference_world().response
NO_CAMPAIGNS = pd.DataFrame(
    {
        "customer_id": pd.Series(dtype="str"),
        "campaign_type": pd.Series(dtype="str"),
        "start_week": pd.Series(dtype="int64"),
        "duration_weeks": pd.Series(dtype="int64"),
        "first_redeem_week": pd.Series(dtype="Int64"),
        "n_coupons": pd.Series(dtype="int64"),
        "redeemed": pd.Series(dtype="bool"),
    }
)


def shopping_by_the_truth(n: int, weeks: int, seed: int) -> CategoryWeeks:
    """Return rows in which n customers, each seen before `weeks` weeks, do what the reference model says."""
    market = replace(build_market(reference_world(), reference_terms()), response=TRUTH)
    state = open_at(market, reference_pool(n, seed=seed), draw=0)
    generator = torch.Generator().manual_seed(1000 + seed)  # other luck than made the pool and its weeks
    parts = []
    for _, sight, _, _ in live(market, state, ask_nothing, weeks, seed=2000 + seed):
        truth = TRUTH.baseline(sight.features, torch.full((n,), 2))
        noise = draw_noise(n, len(CATEGORIES), generator)
        bought = shop(TRUTH.visit, truth, noise)
        spend = bought.spend * bought.visited
        shares = category_shares(TRUTH.visit, appetite(TRUTH.visit, sight.wallet.taste), bought.spend, noise.categories)
        habit = sight.features[:, FEATURES.index("promo_share")]
        promo = spend * promo_share(TRUTH.visit, habit, bought.spend, noise.promo)
        week = torch.full((n,), len(parts))
        baskets = bought.baskets * bought.visited
        bought_by = spend.unsqueeze(1) * shares
        parts.append((torch.arange(n), week, sight.features, baskets, spend, promo, sight.wallet.taste, bought_by))
    return by_customer(CategoryWeeks(*(torch.cat(columns) for columns in zip(*parts, strict=True))), n)


def by_customer(rows: CategoryWeeks, n: int) -> CategoryWeeks:
    """Order rows that come week by week as `category_weeks` gives them: customer by customer."""
    return rows.where(torch.arange(len(rows)).view(-1, n).T.flatten())


def no_redemption() -> RedemptionModel:
    return fit_redemption(campaigns_of(torch.zeros(0)), members=5, seed=0)


def campaigns_of(redeemed: Tensor, signal: Tensor | None = None) -> TargetedCampaigns:
    n = len(redeemed)
    rows = torch.zeros(n, len(FEATURES)) if signal is None else torch.stack([signal] * len(FEATURES), dim=1)
    rows[:, 1:] = 0.0
    once = torch.ones(n, 1, dtype=torch.bool)
    return TargetedCampaigns(
        customer=torch.arange(n),
        features=rows,
        terms=torch.zeros(n, 4),
        followed=once,
        visited=once,
        redeemed_in=redeemed.view(-1, 1) > 0,
        kind=torch.zeros(n, dtype=torch.int64),
        ended=once.squeeze(1),
        begin=torch.zeros(n, dtype=torch.int64),
    )


@pytest.fixture(scope="module")
def fitted() -> Callable[[Family], ResponseModel]:
    rows = shopping_by_the_truth(800, 18, seed=31)
    made: dict[Family, ResponseModel] = {}

    def fit(family: Family) -> ResponseModel:
        if family not in made:
            config = ResponseConfig(family=family, epochs=16, batch=1024)
            made[family] = fit_response(rows, no_redemption(), config, seed=1)
        return made[family]

    return fit


@pytest.mark.parametrize("family", list(Family))
def test_a_fitted_model_is_calibrated_on_customers_it_never_saw(
    family: Family, fitted: Callable[[Family], ResponseModel]
) -> None:
    model, fresh = fitted(family), shopping_by_the_truth(1500, 12, seed=77)
    predicted = mean_visit_probability(model, fresh.features).double()
    visited = (fresh.baskets > 0).double()
    assert calibration_slope(visited.numpy(), predicted.numpy()) == pytest.approx(1.0, abs=0.1)
    truth = torch.sigmoid(TRUTH.baseline(fresh.features, torch.full((len(fresh),), 2)).visit_logit)
    assert float((predicted - truth).abs().mean()) < 0.035
    for low in (0.0, 0.25, 0.5, 0.75):  # rates of visits that are known, from rare to weekly
        group = (truth >= low) & (truth < low + 0.25)
        error = float((visited[group].var() / group.sum()).sqrt())
        assert float(predicted[group].mean()) == pytest.approx(float(visited[group].mean()), abs=4 * error + 0.02)


@pytest.mark.parametrize("family", list(Family))
def test_a_fitted_model_knows_what_a_week_s_shopping_costs_and_how_it_spreads(
    family: Family, fitted: Callable[[Family], ResponseModel]
) -> None:
    model, fresh = fitted(family), shopping_by_the_truth(1500, 12, seed=78)
    seen = fresh.where(fresh.baskets > 0)
    truth = TRUTH.baseline(seen.features, torch.full((len(seen),), 2))
    mean = spend_given_visit(TRUTH.visit, truth)
    found = mean_spend_given_visit(model, seen.features)
    assert float(found.mean()) == pytest.approx(float(mean.mean()), rel=0.08)
    by_member = model.baseline_of_all(seen.features)
    log_mean = torch.stack([baseline.spend_log_mean for baseline in by_member]).mean(dim=0)
    assert float(torch.corrcoef(torch.stack([log_mean, truth.spend_log_mean]))[0, 1]) > 0.95
    spread = torch.stack([baseline.spend_log_sd.mean() for baseline in by_member])
    assert float(spread.mean()) == pytest.approx(float(truth.spend_log_sd.mean()), rel=0.1)
    baskets = torch.stack([baseline.extra_baskets.mean() for baseline in by_member]).mean()
    assert float(baskets) == pytest.approx(float(truth.extra_baskets.mean()), rel=0.15)


def test_members_of_the_ensemble_differ_and_the_same_seed_fits_the_same_bits() -> None:
    rows = shopping_by_the_truth(150, 8, seed=5)
    config = ResponseConfig(epochs=2, batch=256)
    first, again, other = (fit_response(rows, no_redemption(), config, seed) for seed in (1, 1, 2))
    assert all(torch.equal(value, again.tensors()[name]) for name, value in first.tensors().items())
    assert not torch.equal(first.weights[0], other.weights[0])
    logits = torch.stack([baseline.visit_logit for baseline in first.baseline_of_all(rows.features)])
    assert float(logits.std(dim=0).mean()) > 0


def test_too_few_visits_to_learn_from_are_refused() -> None:
    rows = shopping_by_the_truth(10, 4, seed=5)
    with pytest.raises(InputError, match=r"only \d+ customer-weeks with a visit"):
        fit_response(rows, no_redemption(), ResponseConfig(), seed=0)


def test_a_shop_that_takes_no_money_is_refused() -> None:
    rows = shopping_by_the_truth(150, 8, seed=5)
    with pytest.raises(
        InputError, match=r"only 0 customer-weeks with spend in this split.*mapped as spend of transactions"
    ):
        fit_response(replace(rows, spend=rows.spend * 0), no_redemption(), ResponseConfig(epochs=1), seed=0)


def test_without_campaigns_everybody_redeems_with_the_assumed_chance() -> None:
    model = no_redemption()
    assert not model.learned
    assert model.chance(campaigns_of(torch.zeros(7)), torch.ones(7)).tolist() == pytest.approx([FALLBACK] * 7)
    mean, scale = TRUTH.mean, TRUTH.scale
    response = replace(TRUTH, redemption=model.on_features(mean, scale))
    logit = response.redemption_logit(features(reference_pool(9, seed=1)), torch.arange(9) % 5)
    assert torch.sigmoid(logit).tolist() == pytest.approx([FALLBACK] * 9)


def test_redemption_recovers_who_redeems() -> None:
    generator = torch.Generator().manual_seed(6)
    signal = 2.0 + torch.randn(4000, generator=generator)
    chance = torch.sigmoid(-1.5 + 0.9 * (signal - 2.0))
    redeemed = (torch.rand(4000, generator=generator) < chance).float()
    model = fit_redemption(campaigns_of(redeemed, signal), members=8, seed=3)
    assert model.learned
    assert model.coefficients[:, 0].mean().item() == pytest.approx(0.9 * signal.std().item(), abs=0.15)
    assert float((model.chance(campaigns_of(redeemed, signal), torch.ones(4000)) - chance).abs().mean()) < 0.02
    moved = model.on_features(torch.ones(len(FEATURES)), 2 * torch.ones(len(FEATURES)))
    z = (signal - 1.0) / 2.0
    restated = torch.sigmoid(moved[:, :1] * z + moved[:, -1:]).mean(dim=0)
    assert float((restated - chance).abs().mean()) < 0.02


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_redeems_by_chance_is_not_held_to_differ(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    redeemed = (torch.rand(600, generator=generator) < 0.5).float()
    campaigns = replace(campaigns_of(redeemed), features=torch.randn(600, len(FEATURES), generator=generator))
    model = fit_redemption(campaigns, members=5, seed=seed)
    assert float(model.chance(campaigns, torch.ones(600)).std()) < 0.03


@pytest.fixture(scope="module")
def split() -> Split:
    return Split("train", np.arange(60, dtype=np.int64), range(10, 40))


def test_a_history_without_campaigns_is_fitted_and_says_what_is_assumed(split: Split) -> None:
    panel, config = build_panel(fabricate_weeks(120)), MarketConfig(response=ResponseConfig(epochs=1, batch=256))
    categories = reference_world().categories
    fit = fit_world(panel, NO_CAMPAIGNS, split, categories, config.response, seed=1)
    rows = {row.name: row for row in describe_fit(fit, customer_weeks(panel, split), config)}
    assert rows["redemption_of_a_bundle"].origin is Origin.ASSUMED
    assert rows["redemption_of_a_bundle"].value == pytest.approx(FALLBACK)
    assert rows["visit_rate"].origin is Origin.LEARNED
    assert rows["visit_rate"].error > 0
    market = build_market(fit.world, reference_terms())
    *_, (_, _, outcome, _) = live(market, open_at(market, panel.state_before(40)), ask_anything(1), weeks=4)
    assert all(torch.isfinite(value).all() for value in tensors_of(outcome).values())


def test_nothing_of_other_customers_or_later_weeks_is_learned_from(split: Split) -> None:
    events = fabricate_weeks(120)
    spoilt = fabricate_weeks(120)
    for name in ("baskets", "spend", "category_spend", "promo_spend", "saving", "redeemed", "contacted", "exposure"):
        values = getattr(spoilt, name)
        values[60:], values[:, 40:] = 7.0, 7.0
    for events_of in (events, spoilt):
        rows = category_weeks(build_panel(events_of), split)
        assert len(rows) == 60 * 30
    first, second = (category_weeks(build_panel(e), split) for e in (events, spoilt))
    assert all(torch.equal(value, tensors_of(second)[name]) for name, value in tensors_of(first).items())


def test_campaigns_are_cut_by_customer_and_week_with_the_features_before_them(split: Split) -> None:
    panel = build_panel(fabricate_weeks(120))
    log = pd.DataFrame(
        {
            "customer_id": ["c003", "c004", "c100", "c005"],
            "campaign_type": ["A", "A", "A", "B"],
            "start_week": [13, 50, 13, 3],  # weeks are numbered from 1: position 12, too late, another split, early
            "duration_weeks": [5, 5, 5, 6],
            "n_coupons": [10, 10, 10, 20],
            "first_redeem_week": pd.array([14, None, 13, None], dtype="Int64"),
        }
    )
    cut = targeted_campaigns(panel, log, split, range(2, 40), until=15)
    assert cut.customer.tolist() == [3, 5]
    assert cut.redeemed.tolist() == [1.0, 0.0]
    assert cut.redeemed_in.nonzero().tolist() == [[0, 1]]
    assert cut.followed.sum(dim=1).tolist() == [3, 6]  # the first is cut off before week 15, with two weeks to go
    assert cut.at_risk.sum(dim=1).tolist() == [2, 6]
    assert cut.ended.tolist() == [False, True]
    assert cut.kind.tolist() == [0, 1]
    assert torch.equal(cut.features, torch.stack([panel.features[3, 12], panel.features[5, 2]]))
    assert cut.terms[:, 2:].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_world_comes_back_from_disk_to_the_bit(tmp_path: Path, market: Market, pool: State) -> None:
    world = reference_world()
    write_world(tmp_path, world)
    back = read_world(tmp_path)
    assert back.categories.names == world.categories.names
    assert back.response.family is world.response.family
    for name, value in tensors_of(world).items():
        assert torch.equal(tensors_of(back)[name], value), name
    assert all(torch.equal(value, back.response.tensors()[name]) for name, value in world.response.tensors().items())
    written = replace(reference_terms(market.catalog), priors=EffectPriors(leans=LEANS))
    terms = MarketTerms.from_dict(written.to_dict())
    again = build_market(back, terms)
    for one, other in zip(
        live(market, open_at(market, pool), ask_anything(1), weeks=3),
        live(again, open_at(again, pool), ask_anything(1), weeks=3),
        strict=True,
    ):
        assert all(torch.equal(value, tensors_of(other[3])[name]) for name, value in tensors_of(one[3]).items())


@pytest.mark.parametrize("family", list(Family))
def test_a_fitted_response_comes_back_from_disk_to_the_bit(
    family: Family, tmp_path: Path, fitted: Callable[[Family], ResponseModel]
) -> None:
    world = replace(reference_world(), response=fitted(family))
    write_world(tmp_path, world)
    seen, member = features(reference_pool(64, seed=2)), torch.arange(64) % 6
    before, after = world.response.baseline(seen, member), read_world(tmp_path).response.baseline(seen, member)
    for f in fields(before):
        assert torch.equal(getattr(before, f.name), getattr(after, f.name)), f.name


def test_a_pool_comes_back_from_disk_to_the_bit(tmp_path: Path, pool: State) -> None:
    write_pool(tmp_path / "pool.safetensors", pool)
    back = read_pool(tmp_path / "pool.safetensors")
    assert all(torch.equal(value, tensors_of(back)[name]) for name, value in tensors_of(pool).items())


def test_a_world_of_other_features_is_refused(tmp_path: Path) -> None:
    write_world(tmp_path, reference_world())
    described = read_json(tmp_path / "world.json")
    write_json(tmp_path / "world.json", described | {"features": described["features"][:-1]})
    with pytest.raises(InputError, match="written for other features than this version has; run fit again"):
        read_world(tmp_path)


def test_tobacco_is_never_promoted_and_neither_is_the_rest() -> None:
    config = MarketConfig(never_promote=["tobacco"])
    config.margin.by_department["DAIRY"] = 0.2
    names = ("Milk", "Tobacco and lighters", "other")
    shop_floor = describe_categories(names, ("DAIRY", "KIOSK", ""), torch.tensor([30.0, 60.0, 10.0]), config)
    assert shop_floor.promotable.tolist() == [1.0, 0.0, 0.0]
    assert shop_floor.margin.tolist() == pytest.approx([0.2, 0.28, 0.28])
    assert shop_floor.popularity.tolist() == pytest.approx([0.3, 0.6, 0.1])
    alone = describe_categories(("other",), ("",), torch.tensor([1.0]), config)
    assert alone.promotable.tolist() == [1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResponseConfig(members=4), "members is 4"),
        (lambda: ResponseConfig(calibration_share=0.9), "calibration_share is 0.9"),
        (lambda: MarketConfig(draws=100), "draws is 100"),
    ],
)
def test_settings_that_cannot_work_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
