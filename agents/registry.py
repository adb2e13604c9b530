"""All agents by name, and the way back from written data to a policy."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from agents.actor import ActorPolicy
from agents.agent import AgentConfig, TrainedPolicy
from agents.best_single import BestSingleConfig, BestSinglePolicy
from agents.bootstrap import BootstrapConfig, BootstrapPolicy
from agents.business_as_usual import BusinessAsUsualConfig, BusinessAsUsualPolicy
from agents.fixed import NoOfferConfig, NoOfferPolicy, RandomConfig, RandomPolicy
from agents.greedy import GreedyConfig, GreedyPolicy
from agents.knapsack import KnapsackConfig, KnapsackPolicy
from agents.knapsack_ahead import KnapsackAheadConfig, KnapsackAheadPolicy
from agents.lin_ts import LinTSConfig, LinTSPolicy
from agents.lin_ucb import LinUCBConfig, LinUCBPolicy
from agents.neural_linear_ts import NeuralLinearTSConfig, NeuralLinearTSPolicy
from agents.ppo import PPOConfig
from agents.square_cb import SquareCBConfig, SquareCBPolicy
from campaigns.decision import ObservationLayout
from campaigns.errors import InputError

AGENTS: Final[dict[str, type[AgentConfig]]] = {
    config.kind: config
    for config in (
        NoOfferConfig,
        RandomConfig,
        BestSingleConfig,
        BusinessAsUsualConfig,
        GreedyConfig,
        KnapsackConfig,
        KnapsackAheadConfig,
        LinTSConfig,
        LinUCBConfig,
        NeuralLinearTSConfig,
        SquareCBConfig,
        BootstrapConfig,
        PPOConfig,
    )
}
"""Config class of each kind of agent."""

_POLICIES: Final = {
    policy.kind: policy
    for policy in (
        NoOfferPolicy,
        RandomPolicy,
        BestSinglePolicy,
        BusinessAsUsualPolicy,
        GreedyPolicy,
        KnapsackPolicy,
        KnapsackAheadPolicy,
        LinTSPolicy,
        LinUCBPolicy,
        NeuralLinearTSPolicy,
        SquareCBPolicy,
        BootstrapPolicy,
        ActorPolicy,
    )
}


def restore(
    kind: str, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> TrainedPolicy:
    """Rebuild a policy from what its `kind`, `meta()` and `tensors()` said.

    Raises:
        InputError: `kind` is no policy of ours, something that it needs is missing, or it was trained for another
            layout.
    """
    if kind not in _POLICIES:
        raise InputError(f"policy kind '{kind}' is unknown; known are {', '.join(_POLICIES)}; train it again")
    try:
        policy: TrainedPolicy = _POLICIES[kind].restore(layout, meta, tensors)
    except KeyError as missing:
        raise InputError(f"policy of kind '{kind}': {missing} is missing from its data; train it again") from None
    if not _fits(policy, layout):
        size = f"{layout.n_features} features and {layout.n_actions} offers"
        raise InputError(f"policy of kind '{kind}' was trained for another layout than {size}; train it again")
    return policy


def _fits(policy: TrainedPolicy, layout: ObservationLayout) -> bool:
    """Try the policy on one customer who may get anything."""
    context = layout.split(torch.cat([torch.zeros(1, layout.n_features + 1), torch.ones(1, layout.n_actions)], dim=1))
    try:
        return policy.action_dist(context).shape == (1, layout.n_actions)
    except (RuntimeError, IndexError):  # what torch raises where sizes do not match
        return False
