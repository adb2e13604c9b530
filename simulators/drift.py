"""A response that does not stand still: the effects of offers change over the weeks of a campaign."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from campaigns.errors import InputError
from campaigns.offers import OfferKind
from simulators.provenance import Origin, Parameter

KINDS = tuple(kind.value for kind in OfferKind)
MOST_WEEKS = 520


@dataclass
class Drift:
    """How the effects of each kind of offer change, on the logit scale of redemption and the log scale of a visit."""

    walk: float = 0.0  # standard deviation of a week's step of a random walk, each kind and draw its own
    step: dict[str, float] = field(default_factory=dict)  # change of some kinds of offer at once, and for good
    step_week: int = 0  # from which week on
    clock: int = 0  # weeks of drift that are over when the first training episode may begin
    span: int = 26  # weeks from there on in any of which one may begin; the judged campaign begins when they are over

    def __post_init__(self) -> None:
        if not 0.0 <= self.walk <= 1.0:
            raise InputError(f"market.drift.walk is {self.walk}; expected a standard deviation in [0, 1]")
        for kind, change in self.step.items():
            if kind not in KINDS[1:] or not abs(change) <= 5.0:
                raise InputError(
                    f"market.drift.step has {kind!r}: {change}; expected one of {', '.join(KINDS[1:])} and a change "
                    "within -5 and 5"
                )
        for name in ("step_week", "clock", "span"):
            if not 0 <= getattr(self, name) <= MOST_WEEKS:
                raise InputError(f"market.drift.{name} is {getattr(self, name)}; expected 0 to {MOST_WEEKS} weeks")

    @property
    def moves(self) -> bool:
        return self.walk > 0 or any(self.step.values())

    def judged(self) -> "Drift":
        """Return the drift of a campaign that begins when the weeks that training began in are over."""
        return replace(self, clock=self.clock + self.span, span=0)

    def paths(self, n_draws: int, weeks: int, seed: int) -> Tensor | None:
        """Draw the change of each kind in each week from the clock on, shape (n_draws, weeks, n_kinds); None for none.

        The same seed gives the same walk whatever the clock, so that one campaign goes on where another ended.
        """
        if not self.moves:
            return None
        generator = torch.Generator().manual_seed(seed)
        luck = torch.randn(self.clock + weeks, n_draws, len(KINDS), generator=generator)
        walk = (self.walk * luck).cumsum(dim=0).transpose(0, 1)[:, self.clock :]
        week = torch.arange(self.clock, self.clock + weeks).view(1, -1, 1)
        step = torch.tensor([self.step.get(kind, 0.0) for kind in KINDS])
        return walk + step * (week >= self.step_week)

    def describe(self) -> list[Parameter]:
        """Return one provenance row per assumption that is in force."""
        source = "no source: a history of one year cannot tell how the effects of offers change"
        rows = []
        if self.walk > 0:
            rows.append(Parameter("drift.walk", self.walk, self.walk / 2, "logit per week", Origin.ASSUMED, source))
        for kind, change in self.step.items():
            name = f"drift.step.{kind}"
            rows.append(Parameter(name, change, abs(change) / 2, "logit", Origin.ASSUMED, source))
        return rows
