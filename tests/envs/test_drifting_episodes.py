"""Training episodes begin in weeks of the drift of their own, and nothing else of them depends on that."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from campaigns.decision import Transition
from envs.tensor import TensorCampaign
from envs.world import PriceRange, World, begin
from experiments.config import Config
from experiments.fit import market_terms
from history.artifacts import read_tensors, write_tensors
from simulators.drift import Drift
from simulators.priors import EffectPriors
from simulators.reference import CATALOG, reference_pool, reference_terms, reference_world
from simulators.worlds import MarketConfig, build_market
from tests.host import NoHostRoundTrip

DRIFT, CUSTOMERS, SPAN = Drift(walk=0.1, span=9), 16, 9


def world_with(drift: Drift) -> World:
    market = build_market(reference_world(), replace(reference_terms(), drift=drift))
    return World(market, reference_world().observer, reference_pool(128, seed=1), PriceRange())


@pytest.fixture(scope="module")
def drifting() -> World:
    return world_with(DRIFT)


def weeks_of(world: World, path: Tensor) -> set[int]:
    """Return the weeks of the drift at which a customer's path, shape (weeks, kinds), is that of some draw."""
    whole = world.market.effects.path
    assert whole is not None
    weeks = path.shape[0]
    return {w for w in range(whole.shape[1] - weeks + 1) if (whole[:, w : w + weeks] == path).all(dim=(1, 2)).any()}


def test_episodes_begin_in_every_week_of_the_span_and_all_customers_of_one_in_the_same(drifting: World) -> None:
    generator, seen = torch.Generator().manual_seed(0), []
    for _ in range(60):
        path = begin(drifting, CUSTOMERS, generator).state.effects.path
        assert path is not None and path.shape[1] == drifting.market.horizon.weeks + 1
        first = {frozenset(weeks_of(drifting, row)) for row in path[::7]}
        assert len(first) == 1
        seen += [*first.pop()]
    counts = torch.bincount(torch.tensor(seen), minlength=SPAN + 1)
    assert len(seen) == 60 and len(counts) == SPAN + 1
    assert (counts > 0).all() and counts.max() < 18  # of 6 in the mean


def test_what_is_drawn_for_an_episode_is_otherwise_that_of_a_world_without_drift(drifting: World) -> None:
    worlds = [world_with(Drift()), world_with(Drift(walk=0.1, span=0)), drifting]
    generators = [torch.Generator().manual_seed(3) for _ in worlds]
    episodes = [begin(*pair) for pair in zip(worlds, [CUSTOMERS] * 3, generators, strict=True)]
    for episode in episodes[1:]:
        assert torch.equal(episode.price, episodes[0].price)
        assert torch.equal(episode.state.customer.spend_average, episodes[0].state.customer.spend_average)
        assert torch.equal(episode.state.effects.visit, episodes[0].state.effects.visit)
    by_hand = torch.Generator().manual_seed(3)
    torch.randint(128, (CUSTOMERS,), generator=by_hand)
    torch.rand(2, CUSTOMERS, generator=by_hand), torch.rand(2, CUSTOMERS, generator=by_hand)
    still = [torch.equal(one.get_state(), by_hand.get_state()) for one in generators]
    assert still == [True, True, False]


def lived(core: TensorCampaign, steps: int) -> Iterator[Transition[Tensor]]:
    """Ask everybody for one offer after another, week by week."""
    for step in range(steps):
        yield core.step(torch.full((CUSTOMERS,), 1 + step % 4))


def test_a_saved_episode_goes_on_in_the_same_bytes_beyond_its_end(drifting: World, tmp_path: Path) -> None:
    whole = TensorCampaign(CUSTOMERS, drifting, seed=7)
    whole.reset()
    list(lived(whole, 30))  # into the second episode
    write_tensors(tmp_path / "state.safetensors", whole.state())
    rest = list(lived(whole, 40))
    other = TensorCampaign(CUSTOMERS, world_with(DRIFT), seed=8)
    other.restore(read_tensors(tmp_path / "state.safetensors"))
    for mine, theirs in zip(lived(other, 40), rest, strict=True):
        assert torch.equal(mine.rows, theirs.rows) and torch.equal(mine.reward, theirs.reward)


def test_the_beginning_is_drawn_without_a_look_at_it(drifting: World) -> None:
    core = TensorCampaign(CUSTOMERS, drifting, seed=1)
    core.reset()
    with NoHostRoundTrip():
        core.reset()


def test_the_judged_campaign_begins_when_the_weeks_of_training_are_over() -> None:
    drift = Drift(walk=0.1, clock=3, span=5)
    assert drift.judged() == Drift(walk=0.1, clock=8, span=0)
    trained, judged = (world_with(one).market.effects.path for one in (drift, drift.judged()))
    assert trained is not None and judged is not None
    torch.testing.assert_close(judged, trained[:, 5:])
    config = Config(offers=CATALOG.to_dict(), market=MarketConfig(drift=drift))
    assert market_terms(config, EffectPriors(), customers=10, shop=100).drift == drift.judged()
