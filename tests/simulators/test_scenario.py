"""Scenarios: who is there, what the weeks bring, what is cleared, and one consent for a person on several shops."""

from dataclasses import replace

import pytest
import torch

from campaigns.errors import InputError
from history.state import State
from simulators.market import ABSENT, Market, look
from simulators.reference import reference_pool, reference_terms, reference_world
from simulators.scenario import Clearance, Population, Season, describe_scenario
from simulators.worlds import MarketTerms, build_market
from tests.simulators.play import ask_anything, ask_dearest, ask_nothing, live, open_at, tensors_of


def market_with(**terms: object) -> Market:
    return build_market(reference_world(), replace(reference_terms(), **terms))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pool() -> State:
    return reference_pool(600, seed=3)


def test_who_is_not_here_gets_no_offer_buys_nothing_and_does_not_change(pool: State) -> None:
    market = market_with(population=Population(newcomers=0.4, arrival=0.1, churn=0.1))
    for before, sight, outcome, after in live(market, open_at(market, pool), ask_anything(1), weeks=8):
        away = ~before.here
        assert away.any() and before.here.any()
        assert not sight.mask[away][:, 1:].any()
        assert not outcome.visited[away].any() and (outcome.spend[away] == 0).all()
        assert float(outcome.uplift[away].abs().max()) < 1e-6
        for name, value in tensors_of(before.customer).items():
            assert torch.equal(value[away], tensors_of(after.customer)[name][away]), name


def test_who_left_never_comes_back_and_who_has_not_come_may(pool: State) -> None:
    market = market_with(population=Population(newcomers=0.5, arrival=0.3, churn=0.05))
    weeks = list(live(market, open_at(market, pool), ask_nothing, weeks=20))
    for before, _, _, after in weeks:
        assert not (before.gone & ~after.gone).any()
        assert not (after.gone & after.here).any()
    first, last = weeks[0][0], weeks[-1][3]
    assert float(first.here.float().mean()) == pytest.approx(0.5, abs=0.02)
    assert (last.here & ~first.here).any()
    joined = float((~first.here & (weeks[0][3].here | weeks[0][3].gone)).float().sum() / (~first.here).float().sum())
    assert joined == pytest.approx(0.3 * 1.0, abs=0.09)


def test_a_closed_population_changes_nothing(pool: State) -> None:
    plain, closed = market_with(), market_with(population=Population(newcomers=0.0, churn=0.0, arrival=0.9))
    one, other = (list(live(m, open_at(m, pool), ask_anything(1), weeks=3)) for m in (plain, closed))
    for a, b in zip(one, other, strict=True):
        assert all(torch.equal(value, tensors_of(b[3])[name]) for name, value in tensors_of(a[3]).items())


def test_a_holiday_brings_more_visits_and_spend_in_its_weeks_alone(pool: State) -> None:
    calm, holiday = market_with(), market_with(season=Season([2], visit=0.8, spend=0.3))
    one, other = (list(live(m, open_at(m, pool), ask_nothing, weeks=3)) for m in (calm, holiday))
    for week in (0, 1):
        assert torch.equal(one[week][2].spend, other[week][2].spend)
    assert int(other[2][2].visited.sum()) > int(one[2][2].visited.sum())
    both = one[2][2].visited & other[2][2].visited
    ratio = other[2][2].spend[both] / one[2][2].spend[both]
    torch.testing.assert_close(ratio, torch.full_like(ratio, torch.tensor(0.3).exp()), rtol=1e-4, atol=0)


def test_what_is_cleared_is_promoted_to_all_at_its_sunk_cost(pool: State) -> None:
    terms = replace(reference_terms(), clearance=Clearance("frozen", margin=0.8))
    market = build_market(reference_world(), terms)
    index = market.categories.names.index("frozen")
    state = open_at(market, pool)
    assert (state.promoted == index).all()
    assert float(market.categories.margin[index]) == pytest.approx(0.8)
    plain = market_with()
    assert (look(market, state).wallet.margin >= look(plain, open_at(plain, pool)).wallet.margin).all()
    largest = build_market(reference_world(), replace(terms, clearance=Clearance("largest")))
    assert largest.cleared is not None and bool(largest.categories.promotable[largest.cleared])


def test_a_category_that_the_shop_does_not_have_cannot_be_cleared() -> None:
    with pytest.raises(InputError, match=r"market.clearance.category is 'moon cheese'; expected 'largest' or one of"):
        market_with(clearance=Clearance("moon cheese"))


def test_a_person_on_two_shops_gets_one_offer_a_week_and_one_cap(pool: State) -> None:
    market = market_with(shops=2)
    window = market.rules.contact_window_weeks
    cap = market.rules.contact_cap
    total = torch.zeros(pool.n // 2)
    for before, sight, outcome, after in live(market, open_at(market, pool), ask_dearest, weeks=8):
        made = (outcome.offer > 0).view(-1, 2)
        assert int(made.sum(dim=1).max()) <= 1
        total += made.sum(dim=1)
        recent = (
            before.customer.recent_contacts[:, : market.rules.contact_window_weeks].sum(dim=1).view(-1, 2).sum(dim=1)
        )
        full = recent >= cap
        assert not sight.mask.view(-1, 2, market.n_actions)[full][:, :, 1:].any()
        after_all = after.customer.recent_contacts[:, :window].sum(dim=1)
        assert float(after_all.view(-1, 2).sum(dim=1).max()) <= cap
    assert float(total.min()) >= 1  # the cap binds, and yet everybody gets something


def test_terms_of_a_scenario_come_back_from_plain_data() -> None:
    terms = replace(
        reference_terms(),
        population=Population(0.2, 0.3, 0.01),
        season=Season([1, 2], 0.1, 0.2),
        clearance=Clearance("dairy"),
        shops=3,
    )
    assert MarketTerms.from_dict(terms.to_dict()) == terms


def test_only_what_is_in_force_is_listed_as_assumed() -> None:
    assert describe_scenario(Population(), Season(), Clearance(), shops=1) == []
    rows = describe_scenario(Population(churn=0.1), Season([3], 0.2, 0.1), Clearance("largest"), shops=2)
    assert [row.name for row in rows] == [
        "population.newcomers",
        "population.arrival",
        "population.churn",
        "season.visit",
        "season.spend",
        "clearance.margin",
        "shops",
    ]
    assert all(row.origin.value == "assumed" and row.source for row in rows)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Population(churn=1.0), "market.population.churn is 1.0"),
        (lambda: Population(newcomers=-0.1), "market.population.newcomers is -0.1"),
        (lambda: Season([-1]), r"market.season.weeks is \[-1\]"),
        (lambda: Season([1], visit=9.0), "market.season: visit 9.0"),
        (lambda: Clearance(margin=0.0), "market.clearance.margin is 0.0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(make: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()  # type: ignore[operator]


def test_somebody_absent_is_as_good_as_surely_absent() -> None:
    assert float(torch.sigmoid(torch.tensor(ABSENT))) < 1e-12
