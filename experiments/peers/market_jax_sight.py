"""What is seen of customers before a week of our market, in JAX; `simulators/market.py` explains it.

It runs under the Python of `.peers/jax`, as the part of `market_jax_week.py` that `look` is of ours.
"""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)  # money is int64 cents, as it is in ours; all else stays float32

F32 = jnp.float32
State = dict[str, Any]


def nested(flat: dict[str, Any], prefix: str) -> State:
    """Return the tensors below a prefix as nested dictionaries."""
    tree: State = {}
    for name, value in flat.items():
        if name.startswith(prefix):
            *path, last = name.removeprefix(prefix).split(".")
            place = tree
            for part in path:
                place = place.setdefault(part, {})
            place[last] = jnp.asarray(value)
    return tree


class Sight:
    """The market's tensors and constants, and what is seen before a week."""

    def __init__(self, tensors: dict[str, Any], constants: dict[str, Any]) -> None:
        self.k = SimpleNamespace(**constants)
        self.bounded = bool(tensors.get("state.ledger.bounded", True))  # else nobody need queue for the budget
        self.response, self.columns = nested(tensors, "response."), nested(tensors, "columns.")
        self.categories = nested(tensors, "categories.")
        self.visit, self.shocks = self.response["visit"], self.response["shocks"]
        self.decays = jnp.asarray([self.decay(h) for h in self.k.visit_half_lives], F32)
        self.habit = self.k.visit_half_lives.index(self.k.habit_half_life)
        limit = [float("inf")] * (self.k.n_features - 1) + [jnp.log1p(self.k.known_weeks)]
        self.limit = jnp.asarray(limit, F32)

    @staticmethod
    def decay(half_life: float) -> float:
        return float(2.0 ** (-1.0 / half_life))

    def correction(self, c: State, half_life: float) -> Any:
        return jnp.maximum(1.0 - self.decay(half_life) ** c["weeks_seen"], 1e-6)

    def taste(self, c: State) -> Any:
        spend = c["category_average"] / self.correction(c, self.k.taste_half_life)[:, None]
        return spend / jnp.maximum(spend.sum(1, keepdims=True), 1e-6)

    def features(self, c: State) -> Any:
        corrections = jnp.maximum(1.0 - self.decays ** c["weeks_seen"][:, None], 1e-6)
        visit, spend = c["visit_average"] / corrections, c["spend_average"] / corrections
        habit, habit_spend = corrections[:, self.habit], jnp.maximum(spend[:, self.habit], 1e-2)
        columns = [
            jnp.log1p(c["weeks_since_visit"]),
            *visit.T,
            *jnp.log1p(spend).T,
            jnp.log1p(c["basket_average"] / habit),
            jnp.log1p(c["spend_average"][:, 2] / jnp.maximum(c["visit_average"][:, 2], 1e-3)),
            c["promo_average"] / habit / habit_spend,
            c["saving_average"] / habit / habit_spend,
            c["redeemed_average"] / habit,
            jnp.log1p(c["weeks_since_contact"]),
            c["recent_contacts"].sum(1),
            jnp.log1p(c["weeks_since_redemption"]),
            c["exposure_average"] / habit,
            jnp.log1p(c["pantry"]),
            jnp.square(self.taste(c)).sum(1),
            jnp.log1p(c["weeks_seen"]),
        ]
        return jnp.stack(columns, 1)

    def wallet(self, c: State, promoted: Any) -> SimpleNamespace:
        shares = self.taste(c)
        shares = jnp.where(shares.sum(1, keepdims=True) > 0.5, shares, self.categories["popularity"])
        visits = jnp.maximum(c["visit_average"][:, 2], 1e-3)
        week = c["spend_average"][:, 2] / visits
        return SimpleNamespace(
            basket=week / jnp.maximum(c["basket_average"] / visits, 1.0),
            week=week,
            share=jnp.take_along_axis(shares, promoted[:, None], 1)[:, 0],
            margin=shares @ self.categories["margin"],
            taste=shares,
        )

    def mask(self, s: State, wallet: SimpleNamespace) -> Any:
        basket, part = cents(wallet.basket), cents(wallet.basket * wallet.share)
        columns, c = self.columns, s["customer"]
        cost, _ = self.price(slice(None), basket[:, None], part[:, None])
        margin = jnp.round(wallet.margin * 10_000).astype(jnp.int64) * basket
        earning = margin[:, None] - 10_000 * cost >= (round(self.k.margin_floor * 10_000) * basket)[:, None]
        free = s["here"] & (s["weeks_left"] <= 0)
        free &= c["recent_contacts"][:, : self.k.contact_window].sum(1) < self.k.contact_cap
        affordable = (columns["cap"] + columns["contact"] <= s["ledger"]["remaining"]) & (columns["stock"] != 0)
        eligible = c["weeks_since_visit"][:, None] >= columns["min_weeks_since_visit"]
        return (free[:, None] & eligible & affordable & earning) | (columns["kind"] == 0)

    def price(self, offer: Any, basket: Any, category: Any) -> tuple[Any, Any]:
        """Return what redeeming costs the shop and saves the customer [cents]."""
        columns = self.columns
        eligible = basket + columns["scope"][offer] * (category - basket)
        eligible = jnp.maximum(jnp.minimum(eligible, basket), 0)
        reached = (eligible >= columns["threshold"][offer]) & (eligible > 0)
        saved = (eligible * columns["depth_bp"][offer] // 10_000 + columns["value"][offer]) * reached
        most = jnp.maximum(basket, 0) * self.k.max_total_bp // 10_000
        saved = jnp.minimum(jnp.minimum(saved, columns["cap"][offer]), jnp.minimum(eligible, most))
        return saved + columns["gift_cost"][offer] * reached, saved


def cents(usd: Any) -> Any:
    return jnp.round(usd * 100.0).astype(jnp.int64)
