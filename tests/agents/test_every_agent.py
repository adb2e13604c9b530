"""Laws that hold for every kind of agent."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from omegaconf import OmegaConf
from torch import Tensor

from agents.agent import LoggedTargeting
from agents.registry import AGENTS, restore
from campaigns.decision import Context, ObservationLayout
from campaigns.errors import InputError
from history.artifacts import read_tensors, write_tensors
from tests.agents.market import LAYOUT, ExactMonitor, draw_context, make_world

KINDS = tuple(AGENTS)
BANDITS = ("lin_ts", "lin_ucb", "neural_linear_ts", "square_cb", "bootstrap")
LINEAR = ("greedy", "knapsack", "knapsack_ahead", *BANDITS)


@st.composite
def contexts(draw: st.DrawFn) -> Context[Tensor]:
    n = draw(st.integers(1, 6))
    number = st.floats(-10, 10, width=32)
    mask = draw(hnp.arrays(bool, (n, LAYOUT.n_actions)))
    mask[:, 0] = True
    return Context(
        features=torch.from_numpy(draw(hnp.arrays(np.float32, (n, LAYOUT.n_features), elements=number))),
        mask=torch.from_numpy(mask),
        price=torch.from_numpy(draw(hnp.arrays(np.float32, (n,), elements=st.floats(0, 1000, width=32)))),
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(context=contexts())
def test_forbidden_offers_get_exactly_zero_and_rows_sum_to_one(
    trained: Callable[[str], Any], kind: str, context: Context[Tensor]
) -> None:
    dist = trained(kind).policy.action_dist(context)
    assert dist.shape == context.mask.shape and dist.dtype == torch.float32
    assert (dist >= 0).all() and (dist[~context.mask] == 0).all()
    torch.testing.assert_close(dist.sum(dim=1), torch.ones(len(dist)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_down_decides_like_the_policy_that_wrote_it(
    trained: Callable[[str], Any], kind: str, tmp_path: Path
) -> None:
    policy = trained(kind).policy
    write_tensors(tmp_path / "policy.safetensors", policy.tensors())
    meta = json.loads(json.dumps(policy.meta(), allow_nan=False))
    restored = restore(policy.kind, LAYOUT, meta, read_tensors(tmp_path / "policy.safetensors"))
    context = draw_context(500, seed=3)
    assert torch.equal(restored.action_dist(context), policy.action_dist(context))
    assert restored.meta() == policy.meta() and restored.kind == policy.kind


@pytest.mark.parametrize("kind", KINDS)
def test_permuting_customers_permutes_their_distributions(trained: Callable[[str], Any], kind: str) -> None:
    context = draw_context(500, seed=4)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    shuffled = Context(context.features[order], context.mask[order], context.price[order])
    policy = trained(kind).policy
    torch.testing.assert_close(policy.action_dist(shuffled), policy.action_dist(context)[order])


@pytest.mark.parametrize("kind", KINDS)
def test_one_customer_gets_what_the_crowd_would_give_and_nothing_is_written_to(
    trained: Callable[[str], Any], kind: str
) -> None:
    context = draw_context(50, seed=6)
    kept = (context.features.clone(), context.mask.clone(), context.price.clone())
    policy = trained(kind).policy
    crowd = policy.action_dist(context)
    alone = [policy.action_dist(Context(*(x[i : i + 1] for x in kept))) for i in range(50)]
    torch.testing.assert_close(torch.cat(alone), crowd)
    assert all(torch.equal(a, b) for a, b in zip(kept, vars(context).values(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits(kind: str, logged: LoggedTargeting) -> None:
    def learn() -> dict[str, Tensor]:
        torch.manual_seed(np.random.SeedSequence().generate_state(1)[0])  # what came before must not matter
        config: dict[str, Any] = {"steps": 6000} if hasattr(AGENTS[kind], "steps") else {}
        world = replace(make_world(500), logged=logged)
        return AGENTS[kind](**config).build().learn(world, seed=7, monitor=ExactMonitor()).tensors()

    first, second = learn(), learn()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", [*LINEAR, "ppo"])
def test_two_seeds_give_different_policies(kind: str) -> None:
    def learn(seed: int) -> dict[str, Tensor]:
        config: dict[str, Any] = {"steps": 6000}
        return AGENTS[kind](**config).build().learn(make_world(500), seed, ExactMonitor()).tensors()

    first, second = learn(1), learn(2)
    assert any(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_learning_asks_for_no_forbidden_offer_and_is_validated(trained: Callable[[str], Any], kind: str) -> None:
    world = trained(kind).world
    assert world.vector.violations == 0 and world.sb3.market.violations == 0
    assert trained(kind).monitor.values


@pytest.mark.parametrize("kind", KINDS)
def test_a_config_composes_as_a_typed_schema_and_refuses_unknown_keys(kind: str) -> None:
    schema = OmegaConf.structured(AGENTS[kind])
    assert isinstance(OmegaConf.to_object(schema), AGENTS[kind])
    with pytest.raises(Exception, match="typo"):
        OmegaConf.update(schema, "typo", 1)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("best_single", "episodes", 0),
        ("business_as_usual", "inverse_penalty", 0.0),
        ("knapsack", "explore", 1.0),
        ("knapsack", "interactions", -1),
        ("knapsack", "credit_weeks", 0),
        ("greedy", "explore", 0.0),
        ("knapsack_ahead", "prices", [1.0, 0.5]),
        ("knapsack_ahead", "tail_weeks", 0),
        ("lin_ts", "draws", 0),
        ("lin_ts", "discount", 0.0),
        ("lin_ucb", "width", -1.0),
        ("lin_ucb", "window", -1),
        ("square_cb", "scale", 0.0),
        ("bootstrap", "members", 1),
        ("neural_linear_ts", "features", 0),
        ("neural_linear_ts", "window", 2),
        ("ppo", "gamma", 1.1),
        ("ppo", "hidden", []),
        ("ppo", "learning_rate", 0.0),
    ],
)
def test_a_setting_out_of_range_is_named_with_its_value(kind: str, field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^agent {kind}: .*{field} .*{re.escape(str(value))}.*; [^\n]*$"):
        AGENTS[kind](**{field: value})


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="'oracle' is unknown; known are no_offer, random"):
        restore("oracle", LAYOUT, {}, {})


@pytest.mark.parametrize("kind", ["best_single", "business_as_usual", *LINEAR, "ppo"])
def test_a_policy_with_a_missing_tensor_is_refused_by_name(trained: Callable[[str], Any], kind: str) -> None:
    policy = trained(kind).policy
    tensors = policy.tensors()
    gone = min(tensors)
    del tensors[gone]
    with pytest.raises(InputError, match=rf"'{kind}'.*'{gone}' is missing"):
        restore(kind, LAYOUT, policy.meta(), tensors)


WIDER = ObservationLayout((*LAYOUT.feature_names, "new"), LAYOUT.action_names)
RICHER = ObservationLayout(LAYOUT.feature_names, (*LAYOUT.action_names, "new"))


@pytest.mark.parametrize(
    ("kind", "layout"),
    [(kind, WIDER) for kind in (*LINEAR, "business_as_usual")]
    + [("ppo", WIDER), ("ppo", RICHER), ("best_single", RICHER)],
)
def test_a_policy_of_another_layout_is_refused(
    trained: Callable[[str], Any], kind: str, layout: ObservationLayout
) -> None:
    policy = trained(kind).policy
    with pytest.raises(InputError, match=f"another layout than {layout.n_features} features and {layout.n_actions}"):
        restore(kind, layout, policy.meta(), policy.tensors())
