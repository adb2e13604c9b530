"""What a campaign is for, and what its weeks bring beyond what the history shows: all of it is assumed, and says so."""

from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor

from campaigns.errors import InputError
from simulators.provenance import Origin, Parameter

GOLDEN = 0.6180339887
PLASTIC = 0.7548776662
"""Irrational steps whose multiples spread evenly over [0, 1) (Weyl 1916)."""


class Audience(Enum):
    """Whom a campaign is for."""

    EVERYBODY = "everybody"
    NEW = "new"  # known to the shop for at most four weeks
    LAPSING = "lapsing"  # silent for four weeks or more, and longer than is usual for them


@dataclass
class Population:
    """Who comes and goes during a campaign. The history cannot tell: it is a panel of those who stayed."""

    newcomers: float = 0.0  # share of the cohort that has not joined when the campaign begins
    arrival: float = 0.2  # weekly chance that such a one joins
    churn: float = 0.0  # weekly chance that a customer leaves for good

    def __post_init__(self) -> None:
        for name in ("newcomers", "arrival", "churn"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"market.population.{name} is {getattr(self, name)}; expected a share in [0, 1)")

    @property
    def moves(self) -> bool:
        return self.newcomers > 0 or self.churn > 0

    def here_at_first(self, draw: Tensor) -> Tensor:
        """Return who is a customer when the campaign begins, shape (n,), bool; who is not differs between draws."""
        row = torch.arange(draw.shape[0], device=draw.device, dtype=torch.float64)
        place = torch.remainder(row * GOLDEN + draw.to(torch.float64) * PLASTIC, 1.0)
        return place >= self.newcomers


@dataclass
class Season:
    """A holiday or another special time within the campaign."""

    weeks: list[int] = field(default_factory=list)
    """Weeks of the campaign that it covers, 0 the first."""
    visit: float = 0.0  # added to the logit of a visit
    spend: float = 0.0  # added to log spend

    def __post_init__(self) -> None:
        if any(week < 0 for week in self.weeks):
            raise InputError(f"market.season.weeks is {self.weeks}; expected weeks of the campaign, 0 the first")
        if not (abs(self.visit) <= 2 and abs(self.spend) <= 2):
            raise InputError(f"market.season: visit {self.visit}, spend {self.spend}; expected each within -2 and 2")

    def at(self, week: int) -> tuple[float, float]:
        return (self.visit, self.spend) if week in self.weeks else (0.0, 0.0)


@dataclass
class Clearance:
    """Stock that must go: its cost is sunk, so that nearly all that it still brings is margin."""

    category: str = ""  # "" for no clearance, "largest" for the promotable category that sells most
    margin: float = 0.9  # share of its price that counts as margin

    def __post_init__(self) -> None:
        if not 0.0 < self.margin <= 1.0:
            raise InputError(f"market.clearance.margin is {self.margin}; expected a share of the price in (0, 1]")


def describe_scenario(population: Population, season: Season, clearance: Clearance, shops: int) -> list[Parameter]:
    """Return one provenance row per assumption of the scenario that is in force."""
    rows = []
    if population.moves:
        source = "no source: the history is a panel of customers who stayed"
        rows += [
            _assumed("population.newcomers", population.newcomers, "share of the cohort", source),
            _assumed("population.arrival", population.arrival, "chance to join per week", source),
            _assumed("population.churn", population.churn, "chance to leave per week", source),
        ]
    if season.weeks:
        source = (
            "one year of history cannot tell a holiday from chance; U.S. Census Bureau, Monthly Retail Trade Survey"
        )
        rows += [
            _assumed("season.visit", season.visit, "logit of a visit", source),
            _assumed("season.spend", season.spend, "log spend", source),
        ]
    if clearance.category:
        rows.append(_assumed("clearance.margin", clearance.margin, "share of price", "the stock is paid for"))
    if shops > 1:
        source = "no source: each week of a customer's history is given to one of the shops by chance"
        rows.append(_assumed("shops", float(shops), "shops per person", source))
    return rows


def _assumed(name: str, value: float, unit: str, source: str) -> Parameter:
    return Parameter(name, value, abs(value) / 2, unit, Origin.ASSUMED, source)
