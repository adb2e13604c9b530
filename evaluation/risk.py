"""Playing a campaign under a risk budget: λ follows what was really spent, and a brake keeps the last word.

Each week λ is set where the offers that the policy would make are expected to cost that week's share of what is left
of the budget; then the brake lets them out one by one. What an offer is expected to cost is what the market believes
in the mean of all draws, times what this campaign has shown of it. Nothing here knows which draw of the effects, and
which member of the response ensemble, the customers live under.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from campaigns.arithmetic import every_promo_cents
from campaigns.brake import Ahead, Belief, Outlook, brake, brake_each
from campaigns.decision import Context, Policy
from evaluation.rollout import Luck, Play, Result, draw, mean_entropy, play_by
from simulators.lift import every_saving
from simulators.market import Market, MarketState, Outcome, Sight, look, open_market
from simulators.promotion import to_cents

LANDING = 3
"""Last weeks of a campaign, in which all that the brake has freed may be spent at once."""
FINE_WEEKS = 2
"""Last weeks in which only offers go out whose face value is at most `GRAIN` of the budget."""
GRAIN = 0.005
QUANTILE, LAST_QUANTILE = 4.0, 2.33
"""Standard deviations that the brake keeps free, and in the last week, when no later one can spend what is left over.

Too much cannot be taken back, too little can still be spent: 2.33 is the .99 quantile of a normal.
"""
CHEAPEST, DEAREST = 1e-3, 64.0
"""Budget prices between which a week's λ is sought."""
STEPS = 8
"""Bisections of a week's λ on a logarithmic scale."""
BASKETS = (-1.28, -0.52, 0.0, 0.52, 1.28)
"""Standard normal quantiles (.1, .3, .5, .7, .9) of a basket's logarithm that stand for all baskets."""


def within_campaign(market: Market, week: int) -> Tensor:
    """Return which offers end before the campaign does, shape (n_actions,), bool; those alone can be steered."""
    ends: Tensor = market.columns.weeks <= market.horizon.campaign_weeks - week
    none: Tensor = market.columns.kind == 0
    return ends | none


@dataclass(frozen=True, eq=False)
class Costs:
    """What each offer is believed to cost each customer in a week in which it is live, shape (n, n_actions).

    Attributes:
        chance: That it is redeemed.
        cost: Expected [USD].
        square: Expected, of what is paid [USD^2].
    """

    chance: Tensor
    cost: Tensor
    square: Tensor

    def ahead(self, offer: Tensor, weeks: Tensor) -> Ahead:
        """Return what the offers of shape (n,) are believed to cost in as many weeks; (g, n / g) each if so given."""
        index = offer.view(-1, 1)
        chance, cost, square = (
            table.gather(1, index).view_as(offer) for table in (self.chance, self.cost, self.square)
        )
        times = (1.0 - (1.0 - chance) ** weeks) / chance.clamp(min=1e-9)
        return Ahead(offer, cost * times, square * times)

    def of_new(self, weeks: Tensor) -> Tensor:
        """Return what each offer is believed to cost over its life of `weeks`, (n_actions,), shape (n, n_actions)."""
        return self.cost * (1.0 - (1.0 - self.chance) ** weeks) / self.chance.clamp(min=1e-9)


def believed_costs(market: Market, state: MarketState, sight: Sight) -> Costs:
    """Return what offers are believed to cost in the mean of the draws and by the ensemble's first member."""
    effects, columns, wallet = market.effects, market.columns, sight.wallet
    first = torch.zeros(1, dtype=torch.int64, device=columns.kind.device)
    saving = every_saving(columns, wallet)
    base = market.response.baseline(sight.features, first)
    pull = torch.exp(-effects.fatigue.mean() * state.customer.recent_contacts.sum(dim=1, keepdim=True))
    visit = base.visit_logit.unsqueeze(1) + effects.visit.mean(dim=0)[columns.kind] * torch.log1p(saving) * pull
    redeem = (
        market.response.redemption_logit(sight.features, first).unsqueeze(1)
        + effects.redeem_shift.mean(dim=0)[columns.kind]
        + effects.redeem_slope.mean() * torch.log(saving.clamp(min=0.05))
    )
    claim = torch.sigmoid(visit) * torch.sigmoid(redeem) * state.here.unsqueeze(1) * (columns.kind > 0)
    reached, cost, square = (torch.zeros_like(saving) for _ in range(3))
    for quantile in BASKETS:
        basket = wallet.basket * torch.exp(quantile * base.spend_log_sd)
        paid = every_promo_cents(columns, to_cents(basket), to_cents(basket * wallet.share)).cost.float() / 100.0
        reached, cost, square = reached + (paid > 0), cost + paid, square + paid.square()
    count = len(BASKETS)
    return Costs(claim * reached / count, claim * cost / count, claim * square / count)


def held(before: MarketState, outcome: Outcome) -> Tensor:
    """Return the offer that each customer held in a week, 0 for none, shape (n,), int64."""
    return torch.where(outcome.offer > 0, outcome.offer, before.offer)


class _Steered:
    """Decides for some worlds, each a campaign with a budget of its own."""

    def __init__(self, policy: Policy[Tensor], budget: float, believed: Market, worlds: int) -> None:
        self._policy, self._budget, self._market, self._worlds = policy, budget, believed, worlds
        self._face, self._contact = (c.double() / 100.0 for c in (believed.columns.cap, believed.columns.contact))
        self._belief = Belief.open(self._face, worlds)

    def choose(self, where: Play, state: MarketState, sight: Sight, luck: Luck) -> tuple[Tensor, Tensor]:
        shape, weeks = (self._worlds, -1), self._market.columns.weeks
        self._costs = costs = believed_costs(self._market, state, sight)
        outlook = Outlook.of(self._belief, costs.ahead(state.offer.view(shape), state.weeks_left.view(shape)))
        last = state.week == where.market.horizon.campaign_weeks - 1
        quantile = LAST_QUANTILE if last else QUANTILE
        until = where.market.horizon.campaign_weeks - LANDING
        room = (self._budget - outlook.mean - outlook.margin(quantile)).clamp(min=0.0)
        share = room / max(until - state.week, 1)
        mask = sight.mask & within_campaign(where.market, state.week)
        if state.week >= where.market.horizon.campaign_weeks - FINE_WEEKS:
            mask = mask & (self._face <= GRAIN * self._budget)
        prices = torch.zeros(state.n, device=mask.device)
        context = where.observer.observe(where.market, state, replace(sight, mask=mask), prices)
        dist = self._asked(context, costs.of_new(weeks), outlook.factor, share)
        wanted = draw(dist, luck.choice).view(shape)
        limits = torch.full_like(room, self._budget), share
        out = brake(
            outlook, costs.ahead(wanted, weeks[wanted]), self._contact[wanted], luck.turn.view(shape), limits, quantile
        )
        return torch.where(out, wanted, torch.zeros_like(wanted)).view(-1), mean_entropy(dist)

    def _asked(self, context: Context[Tensor], cost: Tensor, factor: Tensor, share: Tensor) -> Tensor:
        """Return the policy's choice at the highest λ, nearly, at which it costs each world's share or more."""
        shape = (self._worlds, -1, cost.shape[1])
        each = (cost.view(shape) * factor.unsqueeze(1) + self._contact).float()
        each[:, :, 0] = 0.0
        low = torch.full_like(share, float(np.log(CHEAPEST)))
        high = torch.full_like(share, float(np.log(DEAREST)))
        for _ in range(STEPS):
            middle = (low + high) / 2
            enough = (self._at(context, middle).view(shape) * each).sum(dim=(1, 2)) >= share
            low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
        return self._at(context, low)

    def _at(self, context: Context[Tensor], log_price: Tensor) -> Tensor:
        price = log_price.exp().float().unsqueeze(1).expand(-1, len(context.price) // self._worlds).reshape(-1)
        return self._policy.action_dist(Context(context.features, context.mask, price))

    def see(self, before: MarketState, outcome: Outcome) -> None:
        if before.week >= self._market.horizon.campaign_weeks:
            return
        shape = (self._worlds, -1)
        contact = self._contact[outcome.offer].view(shape)
        paid = (outcome.realised_cost.double().view(shape) - contact) * outcome.redeemed.view(shape)
        offer = held(before, outcome).view(shape)
        self._belief = self._belief.see(self._costs.ahead(offer, torch.ones_like(offer)), paid, contact)


def braked_each(where: Play, offer: Tensor, turn: Tensor, budget: float) -> Tensor:
    """Return which offers the brake would let out in a campaign's first week if those in front ask for `offer`.

    Args:
        where: The market, and the customers as they stand.
        offer: Shape (n,), int64.
        turn: Whose offer is let out first, lowest first, shape (n,).
        budget: Of the campaign [USD].

    Returns:
        Shape (n, n_offers), bool; column 0 is True.
    """
    state = open_market(where.market, where.start, torch.zeros_like(offer))
    columns = where.market.columns
    costs = believed_costs(where.market, state, look(where.market, state))
    every = torch.arange(len(columns.weeks), device=offer.device).unsqueeze(1).expand(-1, len(offer))
    asked = [
        (costs.ahead(row, columns.weeks[row]), columns.contact[row] / 100.0) for row in (offer, *every.unbind(dim=0))
    ]
    outlook = Outlook.of(Belief.open(columns.cap / 100.0, 1), _stacked([costs.ahead(offer * 0, offer * 0)]))
    most = torch.full_like(outlook.mean, budget)
    wanted, each = (
        (_stacked([ahead for ahead, _ in rows]), torch.stack([contact for _, contact in rows]))
        for rows in (asked[:1], asked[1:])
    )
    return brake_each(outlook, wanted, each, turn.unsqueeze(0), (most, most), QUANTILE).T


def _stacked(rows: list[Ahead]) -> Ahead:
    """Put rows of offers, shape (n,) each, one below the other."""
    return Ahead(*(torch.stack([getattr(row, f.name) for row in rows]) for f in fields(Ahead)))


def play_steered(policy: Policy[Tensor], budget: float, where: Play, believed: Market | None = None) -> Result:
    """Play campaigns under a risk budget.

    Args:
        policy: Whose cost falls with λ.
        budget: What one campaign of all customers may cost [USD], > 0.
        where: The market.
        believed: What is believed of it; itself, its draws averaged, if not given.
    """
    return play_by(lambda worlds: _Steered(policy, budget, believed or where.market, worlds), where)
