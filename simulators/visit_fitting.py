"""Fitting the spread of a visit: residuals of spend, promotion share and categories, on weeks with a visit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from simulators.visit import TASTE_FLOOR, VisitModel, plain_visit

QUANTILES = 65
FEWEST_VISITS = 200
MOST_ROWS = 20_000
"""Weeks with a visit that the categories are fitted to; more add nothing but time."""
RIDGE = 1.0


@dataclass(frozen=True, eq=False)
class Visits:
    """Weeks with a visit, with what was known before each.

    Attributes:
        residual: Standardised residual of log spend, shape (n,).
        spend: [currency], shape (n,).
        promo: Share of spend on promotion, shape (n,).
        habit: The same of earlier weeks, shape (n,).
        taste: Shares of earlier spend by category, shape (n, k).
        category_spend: Spend by category [currency], shape (n, k).
    """

    residual: Tensor
    spend: Tensor
    promo: Tensor
    habit: Tensor
    taste: Tensor
    category_spend: Tensor

    def __len__(self) -> int:
        return self.spend.shape[0]


def fit_visit(visits: Visits, size: float, basket_slope: float) -> VisitModel:
    """Fit the spread of a visit; with too few visits the plain model stands.

    Args:
        visits: Of the training split.
        size: Of the negative binomial of baskets, as the response model's fit found it.
        basket_slope: Of log spend on log baskets, likewise.
    """
    plain = plain_visit(visits.taste.shape[1])
    if len(visits) < FEWEST_VISITS:
        return plain
    quantiles = residual_quantiles(visits.residual)
    some = torch.linspace(0, len(visits) - 1, min(len(visits), MOST_ROWS)).long()
    incidence, slopes = _fit_incidence(visits.taste[some], visits.spend[some], visits.category_spend[some] > 0)
    amount, amount_slope = _fit_amounts(visits.taste[some], visits.category_spend[some])
    return VisitModel(
        size=torch.tensor(size),
        basket_slope=torch.tensor(basket_slope),
        quantiles=quantiles,
        cumulants=_fit_cumulants(quantiles),
        promo=_fit_promo(visits),
        incidence=incidence,
        incidence_slopes=slopes,
        amount=amount,
        amount_slope=amount_slope,
        basket_trait=plain.basket_trait,
        spend_trait=plain.spend_trait,
    )


def residual_quantiles(residual: Tensor) -> Tensor:
    """Return the residuals' quantiles, shape (q,), moved and scaled so that what is drawn has mean 0 and variance 1.

    The outermost are those of 1 in 2 q, so that a single extreme week does not set the range.
    """
    place = torch.linspace(0, 1, QUANTILES, dtype=torch.float64).clamp(0.25 / QUANTILES, 1 - 0.25 / QUANTILES)
    raw = torch.quantile(residual.double().sort().values[:: max(len(residual) // 200_000, 1)], place)
    low, high = raw[:-1], raw[1:]
    mean = ((low + high) / 2).mean()
    square = ((low.square() + low * high + high.square()) / 3).mean()
    return ((raw - mean) / (square - mean.square()).clamp(min=1e-6).sqrt()).float()


def lasting_share(residual: Tensor, variance: Tensor, most_lag: int = 8) -> float:
    """Return the share of residual variance that a customer keeps over weeks: the mean correlation of their weeks.

    Args:
        residual: 0 in weeks that do not count, shape (n, weeks).
        variance: What the model expects of its square, 0 in weeks that do not count, shape (n, weeks).
        most_lag: Largest distance of two weeks.
    """
    spread = variance.sqrt()
    lags = range(1, min(most_lag, residual.shape[1] - 1) + 1)
    together = sum(float((residual[:, lag:] * residual[:, :-lag]).sum()) for lag in lags)
    expected = sum(float((spread[:, lag:] * spread[:, :-lag]).sum()) for lag in lags)
    return min(max(together / max(expected, 1e-9), 0.0), 0.5)


def _fit_cumulants(quantiles: Tensor) -> Tensor:
    """Fit a cubic through 0 to log E[exp(s * residual)] for s up to 2, shape (3,)."""
    s = torch.linspace(0.05, 2.0, 40, dtype=torch.float64).unsqueeze(1)
    steps = torch.linspace(0, 1, 9, dtype=torch.float64)
    low, high = quantiles[:-1].double(), quantiles[1:].double()
    inside = (low.unsqueeze(1) + (high - low).unsqueeze(1) * (steps[:-1] + steps[1:]) / 2).flatten()
    log_mean = torch.log(torch.exp(s * inside).mean(dim=1, keepdim=True))
    terms = torch.cat([s, s.square(), s**3], dim=1)
    found: Tensor = torch.linalg.lstsq(terms, log_mean).solution
    return found.squeeze(1).float()


def _fit_promo(visits: Visits) -> Tensor:
    """Fit a normal share censored at 0 and 1, whose spread falls with the size of the shop, by maximum likelihood."""
    log_spend = torch.log(visits.spend.clamp(min=0.5)).double()
    habit, share = visits.habit.double(), visits.promo.double().clamp(0.0, 1.0)
    beta = torch.tensor([0.0, 1.0, 0.0, -1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([beta], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        log_sd = (beta[3] + beta[4] * log_spend).clamp(-4.0, 2.0)
        mean = beta[0] + beta[1] * habit + beta[2] * log_spend
        z = (share - mean) / torch.exp(log_sd)
        inner = 0.5 * z.square() + log_sd
        edge = -torch.special.log_ndtr(torch.where(share <= 0, z, -z))
        value: Tensor = torch.where((share <= 0) | (share >= 1), edge, inner).mean() + 1e-4 * beta.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return beta.detach().float()


def _fit_incidence(taste: Tensor, spend: Tensor, bought: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a ridge logistic regression of buying: a constant per category, slopes on log taste and log spend.

    Returns:
        Constants, shape (k,), and slopes, shape (2,).
    """
    n, k = taste.shape
    x = torch.stack(
        [torch.log(taste + TASTE_FLOOR), torch.log(spend.clamp(min=0.5)).unsqueeze(1).expand(n, k)], dim=2
    ).double()
    y = bought.double()
    beta = torch.zeros(k + 2, dtype=torch.float64)
    for _ in range(12):
        p = torch.sigmoid(beta[:k] + x @ beta[k:])
        weight, error = p * (1 - p), y - p
        wx = weight.unsqueeze(2) * x
        curvature = torch.zeros(k + 2, k + 2, dtype=torch.float64)
        curvature[:k, :k] = torch.diag(weight.sum(dim=0))
        curvature[:k, k:] = wx.sum(dim=0)
        curvature[k:, :k] = wx.sum(dim=0).T
        curvature[k:, k:] = torch.einsum("nki,nkj->ij", wx, x)
        gradient = torch.cat([error.sum(dim=0), torch.einsum("nk,nki->i", error, x)]) - RIDGE * beta
        beta = beta + torch.linalg.solve(curvature + RIDGE * torch.eye(k + 2, dtype=torch.float64), gradient)
    return beta[:k].float(), beta[k:].float()


def _fit_amounts(taste: Tensor, category_spend: Tensor) -> tuple[Tensor, Tensor]:
    """Regress the log of a bought category's spend on the week (as a constant), the category and log taste.

    Returns:
        Constants, shape (k,), mean 0, and the slope, shape ().
    """
    bought = (category_spend > 0).double()
    several = bought.sum(dim=1, keepdim=True).clamp(min=1.0)
    y = torch.log(category_spend.clamp(min=0.01)).double()
    x = torch.log(taste + TASTE_FLOOR).double()
    y = (y - (y * bought).sum(dim=1, keepdim=True) / several) * bought
    x = (x - (x * bought).sum(dim=1, keepdim=True) / several) * bought
    count = bought.sum(dim=0).clamp(min=1.0)
    x_k, y_k = x.sum(dim=0) / count, y.sum(dim=0) / count
    within = (x - x_k) * bought
    slope = (within * (y - y_k) * bought).sum() / within.square().sum().clamp(min=1e-6)
    slope = slope.clamp(0.0, 1.5)
    constant = y_k - slope * x_k
    return (constant - constant.mean()).float(), slope.float()
