"""q_hat-greedy: the offer that is expected to bring most, whatever money costs."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agents.decide import best_allowed, certain
from agents.knapsack import KnapsackAgent, KnapsackConfig, KnapsackPolicy
from campaigns.decision import Context


@dataclass
class GreedyConfig(KnapsackConfig):
    """The knapsack's model of net margin, at λ = 0 for ever."""

    kind: ClassVar[str] = "greedy"

    def build(self) -> KnapsackAgent:
        return KnapsackAgent(self, GreedyPolicy)


class GreedyPolicy(KnapsackPolicy):
    """Gives each customer the allowed offer with the highest expected net margin; λ does not change it."""

    kind: ClassVar[str] = GreedyConfig.kind

    def action_dist(self, context: Context[Tensor]) -> Tensor:
        net, _ = self.predict(context.features)
        return certain(best_allowed(net, context.mask), net.shape[1])
