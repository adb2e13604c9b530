"""Neural-linear Thompson sampling: a network's features, and exact Thompson sampling on its last layer.

Reference:
    Riquelme, Tucker & Snoek, "Deep Bayesian Bandits Showdown", ICLR 2018.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from agents.agent import LearningWorld, Monitor, TrainedPolicy
from agents.decide import Placed
from agents.episode import Decisions
from agents.lin_ts import draw_best, fixed_noise_of, win_shares
from agents.linear_agent import plain
from agents.linear_model import LinearScores, columns_of, names_of, with_price, written
from agents.online import OnlineConfig, learn_online
from agents.posterior import believe
from agents.regression import CLIP, Statistics
from agents.shared import offer_rows
from agents.warm_start import Weighting
from campaigns.decision import Context, ObservationLayout
from campaigns.errors import InputError

_NO_PAIRS = torch.zeros(0, 2, dtype=torch.int64)


@dataclass
class NeuralLinearTSConfig(OnlineConfig):
    """Thompson sampling on what a network makes of the features; the log's weighting does not apply to networks."""

    kind: ClassVar[str] = "neural_linear_ts"
    begins_from_log: ClassVar[bool] = False

    warm_start: Weighting = Weighting.NONE
    """Not used: a network's features change, so nothing that was summed up before remains."""
    width: int = 64
    """Of the first tanh layer."""
    features: int = 32
    """Of the second: what the last layer sees beside a constant."""
    memory: int = 200_000
    """Latest decisions that are remembered."""
    passes: int = 1
    """Over the memory, whenever the network learns."""
    learn_every: int = 4
    """Episodes between two times that the network learns; the last layer learns after each."""
    minibatch: int = 1024
    """Decisions per gradient step."""
    learning_rate: float = 3e-3
    """Of Adam."""
    draws: int = 64
    """Posterior draws behind the probability that an offer is the best."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            "width",
            "features",
            "memory",
            "passes",
            "learn_every",
            "minibatch",
            "learning_rate",
            "draws",
        ):
            self._require(name, getattr(self, name) > 0, "it must be above 0")
        if self.discount != 1.0 or self.window:
            raise InputError(
                f"agent {self.kind}: discount is {self.discount} and window {self.window}; it forgets by memory; "
                "expected 1 and 0"
            )

    def build(self) -> "NeuralLinearTSAgent":
        return NeuralLinearTSAgent(self)


class NeuralLinearTSPolicy:
    """Gives each allowed offer the probability that it is the best, by a fixed set of posterior draws."""

    kind: ClassVar[str] = NeuralLinearTSConfig.kind

    def __init__(self, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Place the network `weight_0`, `bias_0`, `weight_1`, `bias_1` and the last layer's belief."""
        self._net = Placed(
            {name: tensors[name] for name in ("weight_0", "bias_0", "weight_1", "bias_1")}
            | {"columns": columns_of(layout, meta["model"])}
        )
        hidden = [f"hidden_{i}" for i in range(len(tensors["weight_1"]))]
        inner = ObservationLayout(tuple(hidden), layout.action_names, layout.offers)
        self._scores = LinearScores(inner, dict(meta["model"]) | {"features": hidden}, tensors)
        self._noise = Placed({"noise": fixed_noise_of(layout.action_names, meta)})
        self._meta = dict(meta)

    def scores(self, context: Context[Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of net - λ cost [USD], each (n, n_actions)."""
        data = self._net.on(context.features.device)
        hidden = hidden_features(data, context.features.index_select(1, data["columns"]))
        return self._scores.scores_at(with_constant(hidden), context.price)

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        return win_shares(*self.scores(context), self._noise.on(context.mask.device)["noise"], context.mask)

    def tensors(self) -> dict[str, Tensor]:
        net = {name: value for name, value in self._net.data().items() if name != "columns"}
        return self._scores.tensors() | net

    def meta(self) -> dict[str, Any]:
        return dict(self._meta)

    @classmethod
    def restore(cls, layout: ObservationLayout, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        return cls(layout, meta, tensors)


def hidden_features(net: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """Return what two tanh layers make of features, shape (n, n_hidden)."""
    first = torch.tanh(nn.functional.linear(features.clamp(-CLIP, CLIP), net["weight_0"], net["bias_0"]))
    return torch.tanh(nn.functional.linear(first, net["weight_1"], net["bias_1"]))


def with_constant(hidden: Tensor) -> Tensor:
    """Return what the last layer decides by: a constant and the network's features, shape (n, n_hidden + 1)."""
    return torch.cat([torch.ones_like(hidden[:, :1]), hidden], dim=1)


class NeuralLinearTSAgent:
    """Decides by posterior draws of the last layer; the network learns every few episodes from all it remembers."""

    def __init__(self, config: NeuralLinearTSConfig) -> None:
        self._config = config

    def learn(self, world: LearningWorld, seed: int, monitor: Monitor) -> TrainedPolicy:
        devices = range(torch.cuda.device_count())
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            learner = _Learner(world.layout, self._config, seed)
        return learn_online(world, seed, monitor, self._config, learner)


class _Learner:
    def __init__(self, layout: ObservationLayout, config: NeuralLinearTSConfig, seed: int) -> None:
        self._layout, self._config, self._seed = layout, config, seed
        self._rows = offer_rows(layout)
        self._body = nn.ModuleList(
            [nn.Linear(layout.n_features, config.width), nn.Linear(config.width, config.features)]
        )
        self._head = nn.Linear(config.features, 2 * layout.n_actions)
        parameters = [*self._body.parameters(), *self._head.parameters()]
        self._optimiser = torch.optim.Adam(parameters, lr=config.learning_rate)
        self._generator = torch.Generator().manual_seed(seed)
        self._features = torch.zeros(0, layout.n_features)
        self._price = torch.zeros(0)
        self._action = torch.zeros(0, dtype=torch.int64)
        self._outcome = torch.zeros(0, 2, dtype=torch.float64)
        self._episodes = 0
        self._refresh()

    def decide(self, context: Context[Tensor], generator: torch.Generator) -> Tensor:
        return draw_best(*self._policy.scores(context), context.mask, generator)

    def learn(self, batch: Decisions) -> None:
        latest = slice(-self._config.memory, None)
        self._features = torch.cat([self._features, batch.context.features])[latest]
        self._price = torch.cat([self._price, batch.context.price])[latest]
        self._action = torch.cat([self._action, batch.action])[latest]
        self._outcome = torch.cat([self._outcome, batch.outcome])[latest]
        if self._episodes % self._config.learn_every == 0:
            self._train()
        self._episodes += 1
        self._refresh()

    def policy(self, seed: int) -> TrainedPolicy:
        return self._policy

    def _train(self) -> None:
        """Regress each decision's outcome, in standard deviations, on its own offer's pair of heads."""
        scale = self._outcome.std(dim=0).clamp(min=1e-6)
        target = (self._outcome / scale).float()
        for _ in range(self._config.passes):
            order = torch.randperm(len(target), generator=self._generator)
            for rows in torch.split(order, self._config.minibatch):
                heads = self._head(hidden_features(self._net(), self._features[rows])).view(len(rows), -1, 2)
                own = heads.gather(1, self._action[rows].view(-1, 1, 1).expand(-1, 1, 2)).squeeze(1)
                loss = nn.functional.mse_loss(own, target[rows])
                self._optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimiser.step()

    def _net(self) -> dict[str, Tensor]:
        return {
            f"{kind}_{i}": getattr(layer, kind) for i, layer in enumerate(self._body) for kind in ("weight", "bias")
        }

    def _refresh(self) -> None:
        net = {name: value.detach().clone() for name, value in self._net().items()}
        statistics = Statistics.empty(self._layout.n_actions, 3 + 2 * self._config.features)
        parts = (torch.split(column, 65_536) for column in (self._features, self._price, self._action, self._outcome))
        for features, price, action, outcome in zip(*parts, strict=True):
            hidden = hidden_features(net, features)
            statistics.add(with_price(with_constant(hidden), hidden, price).double(), action, outcome)
        prior = self._config.prior(self._config.features)
        belief = believe(statistics, self._rows, prior)
        meta = {
            "config": plain(self._config),
            "model": names_of(self._layout),
            "seed": self._seed,
            "decisions_per_offer": statistics.count.long().tolist(),
        }
        self._policy = NeuralLinearTSPolicy(self._layout, meta, net | written(belief, _NO_PAIRS, prior))
