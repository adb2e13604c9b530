"""The effects of offers change as they were told to, and by default not at all."""

from dataclasses import replace

import pytest
import torch

from campaigns.errors import InputError
from simulators.drift import KINDS, Drift
from simulators.market import Horizon, Market
from simulators.provenance import Origin
from simulators.reference import reference_pool, reference_terms, reference_world
from simulators.worlds import MarketTerms, build_market
from tests.simulators.play import ask_always, live, open_at

COUPON = KINDS.index("coupon")


def market_with(drift: Drift) -> Market:
    return build_market(reference_world(), replace(reference_terms(), drift=drift, horizon=Horizon(20, 13)))


def redeemed(market: Market) -> torch.Tensor:
    """Return expected costs by week where everybody is always asked to take a coupon of a month."""
    market = replace(market, rules=replace(market.rules, contact_cap=8, margin_floor=-1.0))
    state = open_at(market, reference_pool(600, seed=4))
    return torch.stack([week[2].cost.mean() for week in live(market, state, ask_always(2), weeks=12)])


def test_without_drift_nothing_is_drawn_and_effects_are_themselves() -> None:
    effects = market_with(Drift()).effects
    assert effects.path is None
    assert effects.at(3) is effects


def test_a_step_changes_its_kind_from_its_week_on_and_no_other() -> None:
    effects = market_with(Drift(step={"coupon": -0.7}, step_week=5)).effects
    before, after = effects.at(4), effects.at(5)
    assert torch.equal(before.visit, effects.visit) and torch.equal(before.redeem_shift, effects.redeem_shift)
    torch.testing.assert_close(
        after.redeem_shift - effects.redeem_shift, -0.7 * torch.eye(len(KINDS))[COUPON].expand(256, -1)
    )
    others = [k for k in range(len(KINDS)) if k != COUPON]
    assert torch.equal(after.visit[:, others], effects.visit[:, others])
    torch.testing.assert_close(after.visit[:, COUPON], effects.visit[:, COUPON] * torch.tensor(-0.7).exp())
    assert torch.equal(effects.at(500).visit, after.visit)


def test_a_step_shows_in_what_customers_do_from_that_week_on() -> None:
    plain, stepped = redeemed(market_with(Drift())), redeemed(market_with(Drift(step={"coupon": 2.0}, step_week=6)))
    assert torch.equal(plain[:6], stepped[:6])
    assert (stepped[6:9] > 1.5 * plain[6:9]).all()


def test_a_walk_spreads_with_the_root_of_time_and_goes_on_by_the_clock() -> None:
    path = Drift(walk=0.1).paths(4000, 16, seed=3)
    assert path is not None
    for week in (0, 3, 15):
        torch.testing.assert_close(path[:, week].std(), torch.tensor(0.1 * (week + 1) ** 0.5), rtol=0.03, atol=0.0)
    later = Drift(walk=0.1, clock=6).paths(4000, 10, seed=3)
    torch.testing.assert_close(later, path[:, 6:])


def test_drift_is_kept_with_the_market_and_told_as_assumed() -> None:
    drift = Drift(walk=0.05, step={"gift": 1.0}, step_week=2)
    terms = replace(reference_terms(), drift=drift)
    assert MarketTerms.from_dict(terms.to_dict()) == terms
    assert [(row.name, row.origin) for row in drift.describe()] == [
        ("drift.walk", Origin.ASSUMED),
        ("drift.step.gift", Origin.ASSUMED),
    ]
    assert Drift().describe() == []


@pytest.mark.parametrize(
    "settings", [{"walk": -0.1}, {"step": {"cupon": 1.0}}, {"step": {"none": 1.0}}, {"step_week": -1}, {"clock": 9999}]
)
def test_a_drift_that_cannot_be_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"^market\.drift\.[a-z_]+ (is|has) "):
        Drift(**settings)  # type: ignore[arg-type]
