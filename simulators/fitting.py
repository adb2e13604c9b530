"""Fitting the response ensemble: all members in one optimiser, each with its own Bayesian bootstrap of customers."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from campaigns.errors import InputError
from history.features import FEATURES
from simulators.redemption import RedemptionModel, bootstrap_weights
from simulators.response import HEADS, Family, ResponseModel, basis, capped, forward, n_inputs, of_baseline, standardise
from simulators.shocks import Surprises, fit_shocks, no_shocks
from simulators.shopping import spend_given_visit
from simulators.visit import VisitModel, plain_visit
from simulators.visit_fitting import Visits, fit_visit, lasting_share

LOG_FLOOR = 0.5
"""Least spend of a week with a visit that the log-normal is fitted to [USD]: gives zero-priced baskets a place."""
FEWEST_PAID = 200
"""Fewest customer-weeks with a visit, and with money spent, that a response model is fitted to."""


@dataclass
class ResponseConfig:
    """How the response ensemble is fitted."""

    family: Family = Family.NETWORK
    members: int = 6  # >= 5
    hidden: int = 32  # width of the two hidden layers of the network family
    epochs: int = 30
    batch: int = 2048  # customer-weeks
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    calibration_share: float = 0.2  # of the split's customers, kept out of fitting

    def __post_init__(self) -> None:
        if self.members < 5:
            raise InputError(f"market.response.members is {self.members}; an ensemble has at least 5 members")
        if not 0.05 <= self.calibration_share <= 0.5:
            raise InputError(
                f"market.response.calibration_share is {self.calibration_share}; a share of customers in [0.05, 0.5]"
            )


@dataclass(frozen=True, eq=False)
class CustomerWeeks:
    """Rows to learn from: one per customer and week, features before it and outcome in it."""

    customer: Tensor  # (n,), int64, position of the customer
    week: Tensor  # (n,), int64, position of the week
    features: Tensor  # (n, n_features)
    baskets: Tensor  # (n,)
    spend: Tensor  # (n,) [USD]
    promo_spend: Tensor  # (n,) [USD]

    def __len__(self) -> int:
        return self.customer.shape[0]

    def where(self, keep: Tensor) -> Self:
        return replace(self, **{f.name: getattr(self, f.name)[keep] for f in fields(self)})


@dataclass(frozen=True, eq=False)
class CategoryWeeks(CustomerWeeks):
    """The same with what they hold by category, which a response model is fitted to and nothing else reads."""

    taste: Tensor  # shares of earlier spend, (n, k)
    category_spend: Tensor  # (n, k) [USD]


def join_weeks(parts: Sequence[CustomerWeeks]) -> CustomerWeeks:
    """Stack the rows of several, without their categories."""
    return CustomerWeeks(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(CustomerWeeks)))


def fit_response(
    rows: CategoryWeeks,
    redemption: RedemptionModel,
    config: ResponseConfig,
    seed: int,
    newcomers: CustomerWeeks | None = None,
) -> ResponseModel:
    """Fit and calibrate a response ensemble on one split's customers and weeks.

    Args:
        rows: Customer by customer, each with the same weeks.
        redemption: Who redeems.
        config: Of the ensemble.
        seed: Same seed, same fit.
        newcomers: Weeks of the same customers as if they were new, from which the ensemble learns as well.

    Raises:
        InputError: there are too few visits or too little spend to learn from.
    """
    _refuse_too_little(rows)
    together = rows if newcomers is None else join_weeks([rows, newcomers])
    seen = capped(together.features)
    mean, scale = seen.mean(dim=0), seen.std(dim=0).clamp(min=1e-3)
    generator = torch.Generator().manual_seed(seed)
    chosen = _calibration_customers(rows.customer, config.calibration_share, generator)
    fitted, kept_out = rows.where(~chosen[rows.customer]), rows.where(chosen[rows.customer])
    learned_from = together.where(~chosen[together.customer])
    layers, spread = _fit_ensemble(learned_from, (mean, scale), config, generator)
    raw = ResponseModel(
        family=config.family,
        mean=mean,
        scale=scale,
        weights=layers[0],
        biases=layers[1],
        calibration=torch.tensor([1.0, 0.0, 0.0]),
        redemption=redemption.on_features(mean, scale),
        visit=plain_visit(rows.taste.shape[1]),
        shocks=no_shocks(),
    )
    model = replace(raw, visit=_fit_visit(raw, fitted, spread))
    model = _calibrate(model, rows, kept_out)
    surprises = surprises_of(model, rows)
    visit = _with_traits(model, surprises, len(torch.unique(rows.customer)))
    return replace(model, visit=visit, shocks=fit_shocks(surprises))


def _refuse_too_little(rows: CustomerWeeks) -> None:
    visits, paid = int((rows.baskets > 0).sum()), int((rows.spend > 0).sum())
    if visits < FEWEST_PAID:
        raise InputError(
            f"history: only {visits} customer-weeks with a visit in this split; at least {FEWEST_PAID} are needed to "
            "fit a response model, so give a longer history or more customers"
        )
    if paid < FEWEST_PAID:
        raise InputError(
            f"history: only {paid} customer-weeks with spend in this split; at least {FEWEST_PAID} are needed, since "
            "an offer is judged by money: check the column that is mapped as spend of transactions"
        )


def mean_visit_probability(model: ResponseModel, features: Tensor) -> Tensor:
    """Return the ensemble's mean probability of a visit, shape (n,)."""
    return torch.stack([torch.sigmoid(b.visit_logit) for b in model.baseline_of_all(features)]).mean(dim=0)


def mean_spend_given_visit(model: ResponseModel, features: Tensor) -> Tensor:
    """Return the ensemble's mean spend of a week with a visit [USD], shape (n,)."""
    draws = [spend_given_visit(model.visit, baseline) for baseline in model.baseline_of_all(features)]
    return torch.stack(draws).mean(dim=0)


def _calibration_customers(customer: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return a flag per customer position, shape (max + 1,), bool: kept out of fitting to calibrate on."""
    return torch.rand(int(customer.max()) + 1, generator=generator) < share


@dataclass(frozen=True, eq=False)
class _Spread:
    """What the ensemble's likelihood learns beside the heads, each shape ()."""

    log_size: Tensor  # of the negative binomial of baskets beyond the first
    basket_slope: Tensor  # of log spend on log baskets


def _fit_ensemble(
    rows: CustomerWeeks, moments: tuple[Tensor, Tensor], config: ResponseConfig, generator: torch.Generator
) -> tuple[tuple[tuple[Tensor, ...], tuple[Tensor, ...]], _Spread]:
    sizes = [n_inputs(config.family), *([config.hidden] * 2 if config.family is Family.NETWORK else []), len(HEADS)]
    weights, biases = _initial_layers(sizes, config.members, generator)
    spread = _Spread(torch.tensor(1.0, requires_grad=True), torch.tensor(0.5, requires_grad=True))
    inputs = basis(config.family, of_baseline(standardise(rows.features, *moments)))
    customer_weight = bootstrap_weights(rows.customer, config.members, generator)
    steps = config.epochs * (len(rows) // config.batch + 1)
    learned = [*weights, *biases, spread.log_size, spread.basket_slope]
    optimiser = torch.optim.AdamW(learned, lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in tqdm(range(steps), desc="fit response", unit="step", disable=None, leave=False):
        pick = torch.randint(len(rows), (config.batch,), generator=generator)
        heads = forward(weights, biases, inputs[:, pick])
        loss = _negative_log_likelihood(heads, spread, rows.baskets[pick], rows.spend[pick])
        weighted = (loss * customer_weight[:, rows.customer[pick]]).mean()
        optimiser.zero_grad()
        weighted.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    found = _Spread(spread.log_size.detach(), spread.basket_slope.detach())
    return (tuple(w.detach() for w in weights), tuple(b.detach() for b in biases)), found


def _initial_layers(
    sizes: list[int], members: int, generator: torch.Generator
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    weights, biases = [], []
    for inputs, outputs in pairwise(sizes):
        last = outputs == len(HEADS)
        spread = 0.01 if last else (2.0 / inputs) ** 0.5
        weights.append((torch.randn(members, inputs, outputs, generator=generator) * spread).requires_grad_())
        start = torch.tensor([0.0, 0.0, 3.5, 0.0]) if last else torch.zeros(outputs)
        biases.append(start.repeat(members, 1, 1).requires_grad_())
    return tuple(weights), tuple(biases)


def _negative_log_likelihood(heads: Tensor, spread: _Spread, baskets: Tensor, spend: Tensor) -> Tensor:
    """Return Bernoulli visit + negative binomial extra baskets + normal log spend, shape (m, n).

    The last two are given a visit; log spend rises with the log of the number of baskets.
    """
    visit, extra, mean, log_sd = heads.unbind(dim=1)
    visited = (baskets > 0).to(heads.dtype).expand_as(visit)
    log_spend = torch.log(spend.clamp(min=LOG_FLOOR)) - spread.basket_slope * torch.log(baskets.clamp(min=1.0))
    log_sd = log_sd.clamp(-2.0, 0.7)
    of_visit = F.binary_cross_entropy_with_logits(visit, visited, reduction="none")
    of_baskets = _count_loss(extra.clamp(-6.0, 2.5), spread.log_size, (baskets - 1.0).clamp(min=0.0))
    of_spend = log_sd + 0.5 * ((log_spend - mean) / torch.exp(log_sd)).square()
    return of_visit + visited * (0.3 * of_baskets + 0.3 * of_spend)


def _count_loss(log_mean: Tensor, log_size: Tensor, count: Tensor) -> Tensor:
    """Return the negative log-likelihood of a negative binomial count, constants of the count left out."""
    size = torch.exp(log_size.clamp(-2.0, 8.0))
    log_total = torch.log(size + torch.exp(log_mean))
    constant = torch.lgamma(count + size) - torch.lgamma(size)
    return -constant - size * (torch.log(size) - log_total) - count * (log_mean - log_total)


def _fit_visit(model: ResponseModel, rows: CategoryWeeks, spread: _Spread) -> VisitModel:
    """Fit the spread of a visit around the ensemble's mean heads."""
    seen = rows.where(rows.baskets > 0)
    residual, sd = _residuals(model, seen, spread.basket_slope)
    return fit_visit(
        Visits(
            residual=residual / sd,
            spend=seen.spend,
            promo=seen.promo_spend / seen.spend.clamp(min=0.01),
            habit=seen.features[:, FEATURES.index("promo_share")].clamp(0.0, 1.0),
            taste=seen.taste,
            category_spend=seen.category_spend,
        ),
        size=float(torch.exp(spread.log_size.clamp(-2.0, 8.0))),
        basket_slope=float(spread.basket_slope),
    )


def surprises_of(model: ResponseModel, rows: CustomerWeeks) -> Surprises:
    """Return what customer-weeks brought beyond what the model predicted of them."""
    by_member = model.baseline_of_all(rows.features)
    visited = (rows.baskets > 0).to(torch.float32)
    chance = torch.stack([torch.sigmoid(b.visit_logit) for b in by_member]).mean(dim=0)
    extra = torch.stack([b.extra_baskets for b in by_member]).mean(dim=0)
    residual, sd = _residuals(model, rows, model.visit.basket_slope)
    return Surprises(
        week=rows.week,
        visit=visited - chance,
        visit_variance=chance * (1 - chance),
        baskets=visited * ((rows.baskets - 1.0) - extra),
        baskets_mean=visited * extra,
        baskets_variance=visited * (extra + extra.square() / model.visit.size),
        spend=visited * residual,
        spend_variance=visited * sd.square(),
    )


def _with_traits(model: ResponseModel, surprises: Surprises, n_customers: int) -> VisitModel:
    """Split the spread of baskets and spend into what lasts of a customer and what comes and goes."""
    shape = (n_customers, -1)
    share = lasting_share(surprises.baskets.view(shape), surprises.baskets_variance.view(shape))
    mean_square = float((surprises.baskets_mean.square()).sum() / surprises.baskets_variance.sum().clamp(min=1e-9))
    size = float(model.visit.size)
    variance = min(share / max(mean_square, 1e-9), 0.8 / size)
    spend = lasting_share(surprises.spend.view(shape), surprises.spend_variance.view(shape))
    return replace(
        model.visit,
        size=torch.tensor(1.0 / (1.0 / size - variance)),
        basket_trait=torch.tensor(variance**0.5),
        spend_trait=torch.tensor(spend),
    )


def _residuals(model: ResponseModel, rows: CustomerWeeks, basket_slope: Tensor) -> tuple[Tensor, Tensor]:
    """Return what log spend is beyond its mean given the baskets, and its predicted spread, each shape (n,)."""
    by_member = model.baseline_of_all(rows.features)
    mean = torch.stack([b.spend_log_mean for b in by_member]).mean(dim=0)
    sd = torch.stack([b.spend_log_sd for b in by_member]).mean(dim=0)
    log_spend = torch.log(rows.spend.clamp(min=LOG_FLOOR)) - basket_slope * torch.log(rows.baskets.clamp(min=1.0))
    return log_spend - mean, sd


def _calibrate(model: ResponseModel, rows: CustomerWeeks, kept_out: CustomerWeeks) -> ResponseModel:
    """Fit the slope of the visit logit on kept-out rows (Platt 1999), and the levels of visits and spend on all.

    Overfitting bends the slope, which only rows that were not fitted show; it does not move the mean, which is surer
    over all customers than over the few kept out.
    """
    logit = torch.logit(mean_visit_probability(model, kept_out.features).double(), eps=1e-6)
    slope, _ = _platt(logit, (kept_out.baskets > 0).double())
    visited = rows.baskets > 0
    raw = torch.logit(mean_visit_probability(model, rows.features).double(), eps=1e-6)
    shift = _level(slope * raw, visited.double().mean())
    seen = rows.where(visited)
    ratio = seen.spend.mean() / mean_spend_given_visit(model, seen.features).mean().clamp(min=1e-3)
    return replace(model, calibration=torch.stack([slope.float(), shift.float(), torch.log(ratio.clamp(0.5, 2.0))]))


def _level(logit: Tensor, rate: Tensor) -> Tensor:
    """Return what must be added to logits for their mean probability to be `rate`."""
    shift = torch.zeros((), dtype=torch.float64)
    for _ in range(30):
        p = torch.sigmoid(logit + shift)
        shift = shift + (rate - p.mean()) / (p * (1 - p)).mean().clamp(min=1e-9)
    return shift.clamp(-2.0, 2.0)


def _platt(logit: Tensor, outcome: Tensor) -> tuple[Tensor, Tensor]:
    x = torch.stack([logit, torch.ones_like(logit)], dim=1)
    beta = torch.tensor([1.0, 0.0], dtype=torch.float64)
    prior = torch.eye(2, dtype=torch.float64) * 5.0
    for _ in range(20):
        p = torch.sigmoid(x @ beta)
        gradient = x.T @ (outcome - p) - prior @ (beta - torch.tensor([1.0, 0.0], dtype=torch.float64))
        curvature = (x * (p * (1 - p)).unsqueeze(1)).T @ x + prior
        beta = beta + torch.linalg.solve(curvature, gradient)
    return beta[0], beta[1]
