"""What moves all customers of a week alike: weather, holidays, the competitor's leaflet; a shock with a memory."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

FEWEST_WEEKS = 8


@dataclass(frozen=True, eq=False)
class WeekShocks:
    """Shocks that all customers of a cohort share, an autoregression over the weeks; each shape (), float32."""

    visit_sd: Tensor  # of the logit of a visit
    baskets_sd: Tensor  # of the log mean of baskets beyond the first
    spend_sd: Tensor  # of log spend given a visit
    memory: Tensor  # share of a week's shock that is left in the next

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def to(self, device: torch.device | str) -> "WeekShocks":
        return replace(self, **{name: value.to(device) for name, value in self.tensors().items()})

    def next(self, last: Tensor, normal: Tensor) -> Tensor:
        """Return this week's shocks of each cohort, shape (3, g), from last week's and standard normal luck.

        The rows are the logit of a visit, the log mean of extra baskets, and log spend.
        """
        sd = torch.stack([self.visit_sd, self.baskets_sd, self.spend_sd]).unsqueeze(1)
        return self.memory * last + sd * torch.sqrt(1.0 - self.memory.square()) * normal


def no_shocks() -> WeekShocks:
    return WeekShocks(*(torch.tensor(0.0) for _ in fields(WeekShocks)))


@dataclass(frozen=True, eq=False)
class Surprises:
    """What customer-weeks brought beyond what was predicted; shape (n,) each, 0 where there was no visit.

    The variances are what chance alone would give each entry.
    """

    week: Tensor  # int64
    visit: Tensor  # visited - its chance
    visit_variance: Tensor
    baskets: Tensor  # beyond the predicted mean of baskets beyond the first
    baskets_mean: Tensor
    baskets_variance: Tensor
    spend: Tensor  # log spend beyond its mean given the baskets
    spend_variance: Tensor


def fit_shocks(surprises: Surprises) -> WeekShocks:
    """Fit the spread and memory of the weeks' common shocks beyond what chance alone would show.

    Reference:
        Method of moments for a random effect, as in DerSimonian & Laird, Controlled Clinical Trials 7(3), 1986.
    """
    first, weeks = int(surprises.week.min()), int(surprises.week.max() - surprises.week.min()) + 1
    if weeks < FEWEST_WEEKS:
        return no_shocks()

    def by_week(values: Tensor) -> Tensor:
        return torch.zeros(weeks, dtype=torch.float64).index_add_(0, surprises.week - first, values.double())

    information = by_week(surprises.visit_variance).clamp(min=1e-6)
    visit_sd, memory = _spread(by_week(surprises.visit) / information, 1.0 / information)
    total = by_week(surprises.baskets_mean).clamp(min=1e-6)
    spread = by_week(surprises.baskets_variance) / total.square()
    baskets_sd, _ = _spread(by_week(surprises.baskets) / total, spread)
    visits = by_week(surprises.spend_variance > 0).clamp(min=1.0)
    spend_sd, _ = _spread(by_week(surprises.spend) / visits, by_week(surprises.spend_variance) / visits.square())
    found = (visit_sd, baskets_sd, spend_sd, memory)
    return WeekShocks(*(torch.tensor(value, dtype=torch.float32) for value in found))


@dataclass(frozen=True)
class Level:
    """What a market's customers lately did beyond what the model predicts of them, carried into its weeks."""

    visit: float = 0.0  # logit of a visit
    baskets: float = 0.0  # log of the mean of baskets beyond the first
    spend: float = 0.0  # log spend given a visit


NO_LEVEL = Level()
LEVEL_SPREAD = 0.05
"""Prior standard deviation of each part of a level: a cohort that chance made look odd is not taken at its word."""


def recent_level(surprises: Surprises) -> Level:
    """Estimate the level of customers from their last weeks, drawn to 0 by how little these weeks say.

    Reference:
        Normal-normal shrinkage, as in Efron & Morris, J. American Statistical Association 70(350), 1975.
    """
    information = float(surprises.visit_variance.sum())
    total = float(surprises.baskets_mean.sum())
    basket_information = total**2 / max(float(surprises.baskets_variance.sum()), 1e-9)
    visits = float((surprises.spend_variance > 0).sum())
    spend_information = visits**2 / max(float(surprises.spend_variance.sum()), 1e-9)
    return Level(
        visit=_shrink(float(surprises.visit.sum()) / max(information, 1e-9), information),
        baskets=_shrink(float(surprises.baskets.sum()) / max(total, 1e-9), basket_information),
        spend=_shrink(float(surprises.spend.sum()) / max(visits, 1.0), spend_information),
    )


def _shrink(value: float, information: float) -> float:
    return value * information / (information + LEVEL_SPREAD**-2)


def _spread(effect: Tensor, variance: Tensor) -> tuple[float, float]:
    """Return the standard deviation of the weeks' true effects, and their memory pulled halfway to none."""
    centred = effect - effect.mean()
    true = float((centred.square().mean() - variance.mean()).clamp(min=0.0))
    if true == 0.0:
        return 0.0, 0.0
    lagged = float((centred[1:] * centred[:-1]).mean()) / true
    return true**0.5, min(max(lagged / 2, 0.0), 0.9)
