"""The actor-critic that PPO trains: reads λ from the observation, and never gives a forbidden offer any weight."""

from collections.abc import Sequence
from typing import Any

from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from agents.actor import network_input
from agents.choosing import choice_of, draw, masked_columns
from agents.decide import masked_log_softmax
from agents.kernels import Layer, stack_of
from agents.offer_head import OfferHead
from campaigns.decision import ObservationLayout


class NetworkInput(BaseFeaturesExtractor):
    """Cuts a flat observation row into what the networks see."""

    def __init__(self, observation_space: spaces.Box, layout: ObservationLayout) -> None:
        super().__init__(observation_space, 2 * layout.n_features + 1)
        self._layout = layout

    def forward(self, observation: Tensor) -> Tensor:
        seen = self._layout.split(observation)
        return network_input(seen.features, seen.price)


class MaskedActorCritic(ActorCriticPolicy):
    """SB3's actor-critic with the mask of the observation laid over its logits, wherever it samples or evaluates."""

    action_net: OfferHead
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
        self._stack = stack_of("plain")
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=NetworkInput,
            features_extractor_kwargs={"layout": layout},
            **options,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.action_net = OfferHead(self.mlp_extractor.latent_dim_pi, self._layout)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        logits, values, mask = self._evaluate(obs)
        dist, log_dist = masked_columns(logits, mask)
        action = dist.argmax(dim=0) if deterministic else draw(dist)
        return action, values, log_dist.gather(0, action.unsqueeze(0)).squeeze(0)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        assert isinstance(obs, Tensor)
        logits, values, mask = self._evaluate(obs)
        log_prob, entropy = choice_of(logits, mask, actions)
        return values, log_prob, entropy

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        assert isinstance(obs, Tensor) and isinstance(self.action_dist, CategoricalDistribution)
        logits, _, mask = self._evaluate(obs)
        return self.action_dist.proba_distribution(masked_log_softmax(logits, mask))

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        assert isinstance(obs, Tensor)
        return self._stack(self._seen(obs), self._critic_layers())

    def use(self, kernel: str) -> None:
        """Evaluate by one of `kernels.KERNELS` from here on."""
        self._stack = stack_of(kernel)

    def actor_tensors(self) -> dict[str, Tensor]:
        """Return copies of the actor's layers as `ActorPolicy` wants them."""
        found = {"shared": self.action_net.shared, "own": self.action_net.own}
        for i, layer in enumerate(self._hidden_layers()):
            found |= {f"weight_{i}": layer.weight, f"bias_{i}": layer.bias}
        return {name: value.detach().cpu().clone() for name, value in found.items()}

    def _hidden_layers(self) -> list[nn.Linear]:
        return [m for m in self.mlp_extractor.policy_net if isinstance(m, nn.Linear)]

    def _actor_layers(self) -> Sequence[Layer]:
        return [*self._hidden_layers(), self.action_net]

    def _critic_layers(self) -> Sequence[Layer]:
        return [m for m in self.mlp_extractor.value_net if isinstance(m, nn.Linear)] + [self.value_net]

    def _seen(self, obs: Tensor) -> Tensor:
        seen = self.extract_features(obs)
        assert isinstance(seen, Tensor)  # one extractor for actor and critic
        return seen

    def _evaluate(self, obs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, shape (n, n_actions), values, shape (n, 1), and the mask of the logits."""
        seen = self._seen(obs)
        logits, values = self._stack(seen, self._actor_layers()), self._stack(seen, self._critic_layers())
        return logits, values, self._layout.split(obs).mask
