"""Features: what a response model or a policy sees of a customer's state before the week's decision."""

from typing import Final

import torch
from torch import Tensor

from history.state import (
    HABIT_HALF_LIFE,
    TASTE_HALF_LIFE,
    VISIT_HALF_LIVES,
    State,
    decay_of,
)

FEATURES: Final = (
    "weeks_since_visit",
    *(f"visit_rate_{h:g}w" for h in VISIT_HALF_LIVES),
    *(f"spend_{h:g}w" for h in VISIT_HALF_LIVES),
    "basket_rate",
    "spend_per_active_week",
    "promo_share",
    "saving_share",
    "redemption_rate",
    "weeks_since_contact",
    "contacts_8w",
    "weeks_since_redemption",
    "exposure",
    "pantry",
    "taste_focus",
    "weeks_seen",
)
"""Names of the columns of `features`; counts, baskets, money and clocks are log1p'd, other rates and shares plain."""


HABIT: Final = VISIT_HALF_LIVES.index(HABIT_HALF_LIFE)


def features(state: State) -> Tensor:
    """Return what may be seen of n customers, shape (n, len(FEATURES)), float32."""
    corrections = _corrections(state)
    visit = state.visit_average / corrections
    spend = state.spend_average / corrections
    habit = corrections[:, HABIT]
    habit_spend = spend[:, HABIT]
    contacts = state.recent_contacts.sum(dim=1)
    columns = [
        torch.log1p(state.weeks_since_visit),
        *visit.unbind(dim=1),
        *torch.log1p(spend).unbind(dim=1),
        torch.log1p(state.basket_average / habit),
        torch.log1p(spend_per_active_week(state)),
        _share(state.promo_average / habit, habit_spend),
        _share(state.saving_average / habit, habit_spend),
        state.redeemed_average / habit,
        torch.log1p(state.weeks_since_contact),
        contacts,
        torch.log1p(state.weeks_since_redemption),
        state.exposure_average / habit,
        torch.log1p(state.pantry),
        taste(state).square().sum(dim=1),
        torch.log1p(state.weeks_seen),
    ]
    return torch.stack(columns, dim=1)


def visit_rates(state: State) -> Tensor:
    """Return the average visits per week at each half-life, shape (n, len(VISIT_HALF_LIVES))."""
    return state.visit_average / _corrections(state)


def spend_rates(state: State) -> Tensor:
    """Return the average spend per week at each half-life [USD], shape (n, len(VISIT_HALF_LIVES))."""
    return state.spend_average / _corrections(state)


def spend_per_active_week(state: State) -> Tensor:
    """Return the spend of a week with a visit, averaged at a half-life of 13 weeks [USD], shape (n,)."""
    return state.spend_average[:, 2] / state.visit_average[:, 2].clamp(min=1e-3)


def saved_share(state: State) -> Tensor:
    """Return the share of spend that coupons and other targeted offers saved, shape (n,)."""
    correction = _correction(state, HABIT_HALF_LIFE)
    return state.saving_average / correction / (state.spend_average[:, HABIT] / correction).clamp(min=1.0)


def basket_rate(state: State) -> Tensor:
    """Return the average number of baskets per week at a half-life of 13 weeks, shape (n,)."""
    return state.basket_average / _correction(state, HABIT_HALF_LIFE)


def exposure_rate(state: State) -> Tensor:
    """Return the average share of the customer's usual products on feature or display, shape (n,)."""
    return state.exposure_average / _correction(state, HABIT_HALF_LIFE)


def taste(state: State) -> Tensor:
    """Return each category's share of the customer's spend, shape (n, n_categories); rows sum to 1, or to 0."""
    correction = _correction(state, TASTE_HALF_LIFE).unsqueeze(1)
    spend = state.category_average / correction
    return spend / spend.sum(dim=1, keepdim=True).clamp(min=1e-6)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part / whole.clamp(min=1e-2)


def _correction(state: State, half_life: float) -> Tensor:
    return (1.0 - decay_of(half_life) ** state.weeks_seen).clamp(min=1e-6)


def _corrections(state: State) -> Tensor:
    decays = [torch.full_like(state.weeks_seen, decay_of(half_life)) for half_life in VISIT_HALF_LIVES]
    return (1.0 - torch.stack(decays, dim=1) ** state.weeks_seen.unsqueeze(1)).clamp(min=1e-6)
