"""Which offer each customer gets: the arms, their weights and budgets, and the draw by keyed luck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.agent import TrainedPolicy
from campaigns.decision import Context, Policy
from campaigns.offers import Catalog
from evaluation.budget import BudgetMode, bears
from evaluation.rollout import Play
from serving.arms import PARTS, Arm, CampaignKey, assign, draw, evenly, give_up, in_grains, split_stock, with_floor
from serving.reasons import pick
from serving.table import weight_columns
from simulators.market import MarketState, Sight


@dataclass(frozen=True)
class Limit:
    """What the budget promises, what a customer-week may cost [currency], and the price λ that keeps it."""

    mode: BudgetMode
    per_customer_week: float
    price: float


@dataclass(frozen=True, eq=False)
class Trial:
    """Who is compared with whom.

    Attributes:
        key: Of arms, queue and luck.
        parts: Of each arm.
        floor: Share of the optimised arm's choice that goes to all allowed offers alike.
        usual: Business as usual, where its arm has parts.
        day: First day of the offers: luck and queue are drawn anew for each.
    """

    key: CampaignKey
    parts: Mapping[Arm, int]
    floor: float
    usual: TrainedPolicy | None
    day: date


@dataclass(frozen=True, eq=False)
class Drawn:
    """What was drawn for each of n customers.

    Attributes:
        arm: Place in `Arm`, shape (n,).
        weights: Chance of every offer, given what those earlier in the queue asked for, shape (n, n_offers).
        offer: The one that the lot fell on, shape (n,).
        turned_down: The lot fell on one that the arm's budget does not bear, shape (n,).
        favoured: No other offer had a larger weight, shape (n,).
        wanted: What the policy favours, whatever the arm, as far as the whole budget bears it, shape (n,).
    """

    arm: NDArray[np.int64]
    weights: NDArray[np.float64]
    offer: NDArray[np.int64]
    turned_down: NDArray[np.bool_]
    favoured: NDArray[np.bool_]
    wanted: NDArray[np.int64]

    def columns(self, catalog: Catalog, trial: Trial) -> dict[str, Any]:
        """Return the columns that say how the offers were drawn."""
        pscore = self.weights[np.arange(len(self.offer)), self.offer]
        share = np.array([trial.parts[arm] for arm in Arm])[self.arm] / PARTS
        return {
            "offer": self.offer,
            "arm": pick([str(arm.value) for arm in Arm], self.arm),
            "pscore": pscore,
            "arm_share": share,
            **dict(zip(weight_columns(catalog), self.weights.T, strict=True)),
        }


@dataclass(frozen=True, eq=False)
class Asked:
    """What the lot fell on for each of n customers, before budget and stock have their say.

    Attributes:
        arm: Place in `Arm`, shape (n,).
        dist: What the policy would do, rows sum to 1, shape (n, n_offers).
        weights: Chance of every offer, shape (n, n_offers).
        offer: The one that the lot fell on, shape (n,).
        turn: Place in the queue, lowest first, in [0, 1), shape (n,).
    """

    arm: NDArray[np.int64]
    dist: NDArray[np.float64]
    weights: NDArray[np.float64]
    offer: NDArray[np.int64]
    turn: NDArray[np.float64]

    def settle(self, borne: NDArray[np.bool_], wanted: NDArray[np.int64]) -> Drawn:
        """Return what is left when offers that are not borne are given up.

        Args:
            borne: Budget and stock bear the offer, given what those earlier in the queue asked for; (n, n_offers).
            wanted: As `Drawn` has it.
        """
        rows = np.arange(len(self.arm))
        offer = np.where(borne[rows, self.offer], self.offer, 0)
        final = give_up(self.weights, borne)
        return Drawn(
            arm=self.arm,
            weights=final,
            offer=offer,
            turned_down=~borne[rows, self.offer],
            favoured=final[rows, offer] >= final.max(axis=1),
            wanted=wanted,
        )


def ask(
    policy: Policy[torch.Tensor],
    trial: Trial,
    catalog: Catalog,
    context: Context[torch.Tensor],
    customer_ids: Sequence[str],
) -> Asked:
    """Let the lot fall for every customer, by their arm.

    Args:
        policy: Of the optimised arm.
        trial: The arms.
        catalog: The offers; of one that an arm has no piece of, nobody in the arm gets any.
        context: What is known of the customers, at the budget's price.
        customer_ids: Theirs.
    """
    words = trial.key.words(customer_ids)
    arm = assign(words, trial.parts)
    allowed = context.mask.cpu().numpy() & _in_stock(catalog, trial.parts)[arm]
    dist = _dist(policy, context)
    weights = in_grains(_weights(dist, allowed, arm, trial, context))
    luck, turn = (trial.key.fractions(f"{purpose} {trial.day}", words) for purpose in ("offer", "turn"))
    return Asked(arm, dist, weights, draw(weights, luck), turn)


def draw_offers(
    policy: Policy[torch.Tensor],
    limit: Limit,
    where: Play,
    seen: tuple[MarketState, Sight],
    trial: Trial,
    customer_ids: list[str],
) -> Drawn:
    """Draw every customer's offer by keyed luck, each arm within a budget and a stock of its own.

    Args:
        policy: Of the optimised arm.
        limit: The budget, of which an arm has as much as it has customers.
        where: Deployment market and customers.
        seen: State of the market and what is seen of them.
        trial: The arms.
        customer_ids: Theirs.
    """
    state, sight = seen
    prices = torch.full((where.start.n,), limit.price, device=sight.mask.device)
    context = where.observer.observe(where.market, state, sight, prices)
    asked = ask(policy, trial, where.market.catalog, context, customer_ids)
    turn = torch.from_numpy(asked.turn).to(sight.mask.device)
    borne = np.ones(asked.weights.shape, dtype=np.bool_)
    for place in range(len(Arm)):
        mine = asked.arm == place
        borne[mine] = _borne(limit, where, np.where(mine, asked.offer, 0), turn, int(mine.sum()))[mine]
    best = asked.dist.argmax(axis=1)
    bears_best = _borne(limit, where, best, turn, len(best))[np.arange(len(best)), best]
    return asked.settle(borne, np.where(bears_best, best, 0))


def arm_rows(drawn: Drawn, limit: Limit, where: Play, trial: Trial, cost: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return what the manifest says of each arm.

    Args:
        cost: Expected cost of every offer to every customer [currency], shape (n, n_offers).
    """
    stock = {offer.name: split_stock(offer.stock, trial.parts) for offer in where.market.catalog.offers if offer.stock}
    expected = (drawn.weights * cost).sum(axis=1)
    rows = []
    for place, arm in enumerate(Arm):
        mine = drawn.arm == place
        budget = 0.0 if arm is Arm.HOLDOUT else _whole(limit, where, int(mine.sum()))
        spent = float(expected[mine].sum())
        rows.append(
            {
                "name": arm.value,
                "parts": trial.parts[arm],
                "customers": int(mine.sum()),
                "offers": int((drawn.offer[mine] > 0).sum()),
                "budget": budget,
                "expected_cost": spent,
                "within_budget": spent <= budget,
                "turned_down": int(drawn.turned_down[mine].sum()),
                "stock": {name: pieces[arm] for name, pieces in stock.items()},
            }
        )
    return rows


def _weights(
    dist: NDArray[np.float64], allowed: NDArray[np.bool_], arm: NDArray[np.int64], trial: Trial,
    context: Context[torch.Tensor],
) -> NDArray[np.float64]:  # fmt: skip
    """Return the weights of each customer's arm, before the budget, shape (n, n_offers)."""
    none = np.zeros_like(dist)
    none[:, 0] = 1.0
    usual = none if trial.usual is None else give_up(_dist(trial.usual, context), allowed)
    optimised = with_floor(give_up(dist, allowed), allowed, trial.floor)
    by_arm = {Arm.OPTIMISED: optimised, Arm.RANDOM: evenly(allowed), Arm.USUAL: usual, Arm.HOLDOUT: none}
    return np.stack([by_arm[one] for one in Arm])[arm, np.arange(len(arm))]


def _dist(policy: Policy[torch.Tensor], context: Context[torch.Tensor]) -> NDArray[np.float64]:
    dist = policy.action_dist(context).double().cpu().numpy()
    whole: NDArray[np.float64] = dist / dist.sum(axis=1, keepdims=True)
    return whole


def _in_stock(catalog: Catalog, parts: Mapping[Arm, int]) -> NDArray[np.bool_]:
    """Return whether an arm has a piece of an offer, shape (n_arms, n_offers)."""
    pieces = [dict.fromkeys(Arm, 1) if o.stock is None else split_stock(o.stock, parts) for o in catalog.offers]
    return np.array([[offer[arm] > 0 for offer in pieces] for arm in Arm])


def _borne(
    limit: Limit, where: Play, asked: NDArray[np.int64], turn: torch.Tensor, customers: int
) -> NDArray[np.bool_]:
    """Return which offers the budget of so many customers bears, shape (n, n_offers)."""
    wanted = torch.from_numpy(asked).to(turn.device)
    return bears(limit.mode, where, wanted, turn, _whole(limit, where, customers)).cpu().numpy()


def _whole(limit: Limit, where: Play, customers: int) -> float:
    """Return what the campaign of so many customers may cost [currency]."""
    return limit.per_customer_week * customers * where.market.horizon.campaign_weeks
