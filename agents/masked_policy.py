"""The actor-critic that PPO trains: reads λ from the observation, and never gives a forbidden offer any weight."""

from typing import Any

from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from agents.actor import network_input
from agents.decide import masked_log_softmax
from campaigns.decision import ObservationLayout


class NetworkInput(BaseFeaturesExtractor):
    """Cuts a flat observation row into what the networks see."""

    def __init__(self, observation_space: spaces.Box, layout: ObservationLayout) -> None:
        super().__init__(observation_space, 2 * layout.n_features + 1)
        self._layout = layout

    def forward(self, observation: Tensor) -> Tensor:
        return network_input(self._layout.split(observation))


class MaskedActorCritic(ActorCriticPolicy):
    """SB3's actor-critic with the mask of the observation laid over its logits, wherever it samples or evaluates."""

    action_net: nn.Linear
    value_net: nn.Linear

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        *,
        layout: ObservationLayout,
        **options: Any,
    ) -> None:
        self._layout = layout
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=NetworkInput,
            features_extractor_kwargs={"layout": layout},
            **options,
        )

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        values, log_dist = self._evaluate(obs)
        # multinomial draws exactly the rows' probabilities: an offer of probability 0 never comes out.
        action = log_dist.argmax(dim=1, keepdim=True) if deterministic else log_dist.exp().multinomial(1)
        return action.squeeze(1), values, log_dist.gather(1, action).squeeze(1)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        assert isinstance(obs, Tensor)
        values, log_dist = self._evaluate(obs)
        entropy = -(log_dist.exp() * log_dist).sum(dim=1)
        return values, log_dist.gather(1, actions.unsqueeze(1)).squeeze(1), entropy

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        assert isinstance(obs, Tensor) and isinstance(self.action_dist, CategoricalDistribution)
        return self.action_dist.proba_distribution(self._evaluate(obs)[1])

    def actor_tensors(self) -> dict[str, Tensor]:
        """Return copies of the actor's layers as `ActorPolicy` wants them."""
        layers = [m for m in self.mlp_extractor.policy_net if isinstance(m, nn.Linear)] + [self.action_net]
        weights = {f"weight_{i}": layer.weight.detach().cpu().clone() for i, layer in enumerate(layers)}
        return weights | {f"bias_{i}": layer.bias.detach().cpu().clone() for i, layer in enumerate(layers)}

    def _evaluate(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, shape (n, 1), and log-probabilities, shape (n, n_actions)."""
        actor, critic = self.mlp_extractor(self.extract_features(obs))
        logits: Tensor = self.action_net(actor)
        values: Tensor = self.value_net(critic)
        return values, masked_log_softmax(logits, self._layout.split(obs).mask)
