"""Fitting the response ensemble: all members in one optimiser, each with its own Bayesian bootstrap of customers."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from campaigns.errors import InputError
from simulators.redemption import RedemptionModel, bootstrap_weights
from simulators.response import HEADS, MAX_Z, Family, ResponseModel, forward, n_inputs

LOG_FLOOR = 0.5
"""Least spend of a week with a visit that the log-normal is fitted to [USD]: gives zero-priced baskets a place."""


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
    features: Tensor  # (n, n_features)
    baskets: Tensor  # (n,)
    spend: Tensor  # (n,) [USD]

    def __len__(self) -> int:
        return self.customer.shape[0]

    def where(self, keep: Tensor) -> "CustomerWeeks":
        return CustomerWeeks(self.customer[keep], self.features[keep], self.baskets[keep], self.spend[keep])


def fit_response(rows: CustomerWeeks, redemption: RedemptionModel, config: ResponseConfig, seed: int) -> ResponseModel:
    """Fit and calibrate a response ensemble on one split's customers and weeks.

    Raises:
        InputError: there are too few visits to learn from.
    """
    visits = int((rows.baskets > 0).sum())
    if visits < 200:
        raise InputError(
            f"history: only {visits} customer-weeks with a visit in this split; at least 200 are needed to fit a "
            "response model, so give a longer history or more customers"
        )
    mean, scale = rows.features.mean(dim=0), rows.features.std(dim=0).clamp(min=1e-3)
    generator = torch.Generator().manual_seed(seed)
    chosen = _calibration_customers(rows.customer, config.calibration_share, generator)
    fitted, kept_out = rows.where(~chosen[rows.customer]), rows.where(chosen[rows.customer])
    weights, biases = _fit_ensemble(fitted, (mean, scale), config, generator)
    traits = redemption.on_features(mean, scale)
    raw = ResponseModel(config.family, mean, scale, weights, biases, torch.tensor([1.0, 0.0, 0.0]), traits)
    return _calibrate(raw, kept_out)


def mean_visit_probability(model: ResponseModel, features: Tensor) -> Tensor:
    """Return the ensemble's mean probability of a visit, shape (n,)."""
    return torch.stack([torch.sigmoid(b.visit_logit) for b in model.baseline_of_all(features)]).mean(dim=0)


def mean_spend_given_visit(model: ResponseModel, features: Tensor) -> Tensor:
    """Return the ensemble's mean spend of a week with a visit [USD], shape (n,)."""
    draws = [torch.exp(b.spend_log_mean + b.spend_log_sd.square() / 2) for b in model.baseline_of_all(features)]
    return torch.stack(draws).mean(dim=0)


def _calibration_customers(customer: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return a flag per customer position, shape (max + 1,), bool: kept out of fitting to calibrate on."""
    return torch.rand(int(customer.max()) + 1, generator=generator) < share


def _fit_ensemble(
    rows: CustomerWeeks, moments: tuple[Tensor, Tensor], config: ResponseConfig, generator: torch.Generator
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    sizes = [n_inputs(config.family), *([config.hidden] * 2 if config.family is Family.NETWORK else []), len(HEADS)]
    weights, biases = _initial_layers(sizes, config.members, generator)
    z = ((rows.features - moments[0]) / moments[1]).clamp(-MAX_Z, MAX_Z)
    customer_weight = bootstrap_weights(rows.customer, config.members, generator)
    steps = config.epochs * (len(rows) // config.batch + 1)
    optimiser = torch.optim.AdamW([*weights, *biases], lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in tqdm(range(steps), desc="fit response", unit="step", disable=None, leave=False):
        pick = torch.randint(len(rows), (config.batch,), generator=generator)
        heads = forward(config.family, weights, biases, z[pick])
        loss = _negative_log_likelihood(heads, rows.baskets[pick], rows.spend[pick])
        weighted = (loss * customer_weight[:, rows.customer[pick]]).mean()
        optimiser.zero_grad()
        weighted.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return tuple(w.detach() for w in weights), tuple(b.detach() for b in biases)


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


def _negative_log_likelihood(heads: Tensor, baskets: Tensor, spend: Tensor) -> Tensor:
    """Return Bernoulli visit + Poisson extra baskets + normal log spend, shape (m, n); the last two given a visit."""
    visit, extra, mean, log_sd = heads.unbind(dim=2)
    visited = (baskets > 0).to(heads.dtype).expand_as(visit)
    log_spend = torch.log(spend.clamp(min=LOG_FLOOR))
    log_sd = log_sd.clamp(-2.0, 0.7)
    of_visit = F.binary_cross_entropy_with_logits(visit, visited, reduction="none")
    more = (baskets - 1.0).clamp(min=0.0).expand_as(extra)
    of_baskets = F.poisson_nll_loss(extra.clamp(-6.0, 2.5), more, reduction="none")
    of_spend = log_sd + 0.5 * ((log_spend - mean) / torch.exp(log_sd)).square()
    return of_visit + visited * (0.3 * of_baskets + 0.3 * of_spend)


def _calibrate(model: ResponseModel, rows: CustomerWeeks) -> ResponseModel:
    """Fit slope and shift of the visit logit (Platt 1999), and what makes mean spend right, on kept-out rows."""
    visited = rows.baskets > 0
    logit = torch.logit(mean_visit_probability(model, rows.features).double(), eps=1e-6)
    slope, shift = _platt(logit, visited.double())
    seen = rows.where(visited)
    ratio = seen.spend.mean() / mean_spend_given_visit(model, seen.features).mean().clamp(min=1e-3)
    calibration = torch.stack([slope.float(), shift.float(), torch.log(ratio.clamp(0.5, 2.0))])
    return ResponseModel(
        model.family, model.mean, model.scale, model.weights, model.biases, calibration, model.redemption
    )


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
