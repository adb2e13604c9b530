"""Rules that stand for a policy, played in the policy's place under the same luck: what they keep of its uplift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from campaigns.held_out import HeldOut
from evaluation.estimate import estimate_mean
from evaluation.rollout import AtPrice, Luck, Play, Result, play, play_by
from history.features import FEATURES, basket_rate, features, spend_rates
from simulators.market import MarketState, Outcome, Sight


@dataclass(frozen=True)
class Ruling:
    """One rule: all limits must hold.

    Attributes:
        limits: (at least, below) by feature, None for no limit on that side; empty for the catch-all.
        offer: Index in the catalog.
    """

    limits: Mapping[str, tuple[float | None, float | None]]
    offer: int


def rule_features(state: MarketState, sight: Sight, currency: str) -> dict[str, Tensor]:
    """Return what rules may ask of customers, in the units of their profiles, shape (n,) each, float64."""
    customer, code = state.customer, currency.lower()
    column = dict(zip(FEATURES, features(customer).unbind(dim=1), strict=True))
    values = {
        "weeks_since_visit": customer.weeks_since_visit,
        "visits_per_week": basket_rate(customer),
        f"spend_per_week_{code}": spend_rates(customer)[:, 2],
        f"basket_{code}": sight.wallet.basket,
        "promo_share": column["promo_share"].clamp(0.0, 1.0),
        "promoted_share": sight.wallet.share,
        "contacts_8w": column["contacts_8w"],
    }
    return {name: value.double() for name, value in values.items()}


@dataclass
class _Seen:
    """Decisions so far, and those that the policy would have made too."""

    made: int = 0
    same: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class ByRules:
    """Decides by the first rule that fits; a forbidden offer becomes none."""

    rules: Sequence[Ruling]
    beside: AtPrice
    seen: _Seen

    def choose(self, where: Play, state: MarketState, sight: Sight, luck: Luck) -> tuple[Tensor, Tensor]:
        values = rule_features(state, sight, where.market.catalog.currency)
        action = torch.zeros_like(state.offer)
        for rule in reversed(self.rules):  # the first that fits is written last
            hit = torch.ones_like(sight.mask[:, 0])
            for name, (low, high) in rule.limits.items():
                hit = hit if low is None else hit & (values[name] >= low)
                hit = hit if high is None else hit & (values[name] < high)
            action = torch.where(hit, rule.offer, action)
        action = action * sight.mask.gather(1, action.unsqueeze(1)).squeeze(1)
        theirs, _ = self.beside.choose(where, state, sight, luck)
        self.seen.made += state.n
        self.seen.same.append((theirs == action).sum())
        return action, torch.zeros((), device=action.device)

    def see(self, before: MarketState, outcome: Outcome) -> None:
        return None


def judge_rules(rules: Sequence[Ruling], policy: AtPrice, where: Play, theirs: Result | None = None) -> HeldOut:
    """Play rules and policy through a market under the same luck and compare what they bring.

    The interval of the share is that of a ratio by the delta method, over customers and draws of the effects.

    Args:
        rules: The last has no limits.
        policy: What they stand for.
        where: The market.
        theirs: What the policy brings there, where that is known.
    """
    seen, weeks = _Seen(), where.market.horizon.campaign_weeks
    theirs = play(policy.policy, policy.price, where) if theirs is None else theirs
    ours = play_by(lambda _: ByRules(rules, policy, seen), where)
    whole = estimate_mean(theirs.uplift)
    share = lo = hi = None
    if whole.lo > 0:
        share = float(ours.uplift.mean()) / whole.value
        rest = estimate_mean(ours.uplift - share * theirs.uplift)
        lo, hi = share + rest.lo / whole.value, share + rest.hi / whole.value
    return HeldOut(
        customers=where.start.n,
        worlds=where.worlds,
        agreement=float(torch.stack(seen.same).sum()) / seen.made,
        uplift_kept=share,
        lo=lo,
        hi=hi,
        uplift=float(ours.uplift.mean()) / weeks,
        policy_uplift=whole.value / weeks,
        cost=float(ours.cost.mean()) / weeks,
        policy_cost=float(theirs.cost.mean()) / weeks,
    )
