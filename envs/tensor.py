"""The campaign as tensors alone: a batch of customers that steps on the device its market lives on.

Everything here runs without a look at a value: no copy to the host, no shape that depends on data. The Gymnasium
environments of `envs.campaign` are views of it.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from campaigns.decision import Transition
from campaigns.errors import InputError
from envs.world import Episode, World, begin, observe, take_step
from simulators.market import look
from simulators.shopping import draw_noise

Record = TypeVar("Record")


class TensorCampaign:
    """n customers on one clock; all of them end in the same week and begin anew within that step.

    The reward is the week's uplift in net margin over the shadow [USD], less λ times what the offers cost. A forbidden
    action becomes offer 0. `figures` holds "net", "cost" [USD] and "violations" (0 or 1) of the week.
    """

    def __init__(self, num_envs: int, world: World, seed: int | None = None) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs is {num_envs}; an environment has at least 1 customer")
        self.num_envs = num_envs
        self.world = world
        self.layout = world.observer.layout(world.market)
        self.device = world.pool.weeks_seen.device
        self.truncates = False
        self.episode: Episode | None = None
        # A device without values has no generators either.
        self._generator = None if self.device.type == "meta" else torch.Generator(self.device)
        self.seed(seed)

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.world.market.horizon.weeks

    def seed(self, seed: int | None) -> None:
        """Settle all luck from here on; None draws a seed."""
        if self._generator is not None:
            self._generator.seed() if seed is None else self._generator.manual_seed(seed)

    def reset(self) -> Tensor:
        """Begin an episode; return its first observations, shape (n, layout.width), float32."""
        self.episode = begin(self.world, self.num_envs, self._generator)
        return observe(self.world, self.episode)

    def step(self, action: Tensor) -> Transition[Tensor]:
        """Live through one week.

        Args:
            action: Offers, shape (n,), int64 in [0, n_actions).
        """
        assert self.episode is not None, "reset comes first"
        noise = draw_noise(self.num_envs, self.world.pool.n_categories, self._generator, self.device)
        self.episode, outcome, uplift = take_step(self.world, self.episode, action, noise)
        rows = last = observe(self.world, self.episode)
        reward = uplift - self.episode.price * outcome.cost
        over = self.episode.state.week >= self.horizon
        if over:
            rows = self.reset()
        ended = torch.full_like(outcome.violation, over)
        figures = {"net": uplift, "cost": outcome.cost, "violations": outcome.violation.to(torch.float32)}
        return Transition(rows, reward, ended, torch.zeros_like(ended), last, figures)

    def state(self) -> dict[str, Tensor]:
        """Return everything that the episode and all luck to come depend on, beside the world."""
        assert self.episode is not None and self._generator is not None, "reset comes first"
        kept = flatten(self.episode.state, "state.") | {"price": self.episode.price}
        return kept | {"generator": self._generator.get_state()}

    def restore(self, kept: Mapping[str, Tensor]) -> Tensor:
        """Go on where `state` was taken; return the observations that stood there.

        Raises:
            InputError: `kept` is of another world or another number of customers.
        """
        assert self._generator is not None
        self.reset()
        assert self.episode is not None
        state = rebuild(self.episode.state, kept, "state.")
        price = taken(kept, "price", self.episode.price)
        self.episode = Episode(state, look(self.world.market, state), price)
        self._generator.set_state(kept["generator"].cpu())
        return observe(self.world, self.episode)


def flatten(record: Any, prefix: str = "") -> dict[str, Tensor]:
    """Return all tensors and whole numbers of nested dataclasses by dotted name; None is left out."""
    flat: dict[str, Tensor] = {}
    for field in fields(record):
        value, name = getattr(record, field.name), prefix + field.name
        if is_dataclass(value):
            flat |= flatten(value, f"{name}.")
        elif value is not None:
            flat[name] = value if isinstance(value, Tensor) else torch.tensor(value)
    return flat


def rebuild(like: Record, flat: Mapping[str, Tensor], prefix: str = "") -> Record:
    """Return a record of the form of `like` with the values that `flatten` took from another one.

    Raises:
        InputError: A value is missing or of another shape or type.
    """
    found: dict[str, Any] = {}
    for field in fields(like):  # type: ignore[arg-type]
        value, name = getattr(like, field.name), prefix + field.name
        if is_dataclass(value):
            found[field.name] = rebuild(value, flat, f"{name}.")
        elif isinstance(value, Tensor):
            found[field.name] = taken(flat, name, value)
        elif value is not None:
            found[field.name] = type(value)(taken(flat, name, torch.tensor(value)).item())
    return replace(like, **found)  # type: ignore[type-var]


def taken(flat: Mapping[str, Tensor], name: str, like: Tensor) -> Tensor:
    """Return a tensor by name, on the device of `like`, having checked that it looks like it.

    Raises:
        InputError: It is missing or of another shape or type.
    """
    value = flat.get(name)
    if value is None or value.shape != like.shape or value.dtype != like.dtype:
        found = "missing" if value is None else f"of shape {tuple(value.shape)} and type {value.dtype}"
        raise InputError(
            f"the environment's saved {name} is {found}; expected shape {tuple(like.shape)} and type {like.dtype}: it "
            "was saved in another world"
        )
    return torch.empty_like(like).copy_(value)  # also laid out in memory like it, or sums would round otherwise
