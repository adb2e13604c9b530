"""A week of our market in JAX: the same arithmetic on the same tensors; `simulators/market.py` explains it.

It runs under the Python of `.peers/jax`, and is timed by `market_jax.py`.
"""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr

from experiments.peers.market_jax_sight import F32, Sight, State, cents


class World(Sight):
    """The market's tensors and constants, and a week's arithmetic on them."""

    def send(self, s: State, wanted: Any, noise: State) -> tuple[State, Any]:
        columns, ledger = self.columns, s["ledger"]
        worst = columns["cap"][wanted] + columns["contact"][wanted]
        granted = jnp.ones_like(worst, bool)
        if self.bounded:
            granted = (running_total(worst, noise["turn"]) <= ledger["remaining"][0]) | (worst == 0)
        made = jnp.where(granted, wanted, 0)
        ledger = ledger | {
            "remaining": ledger["remaining"] - (worst * granted).sum(),
            "reserved": ledger["reserved"] + (worst * granted)[None],
        }
        new = made > 0
        sent = {
            "offer": jnp.where(new, made, s["offer"]),
            "weeks_left": jnp.where(new, columns["weeks"][made], s["weeks_left"]),
            "age": jnp.where(new, 0, s["age"]),
            "ledger": commit(ledger, columns["contact"][made]),
        }
        return s | sent, made

    def shake(self, s: State, noise: State, week: Any) -> State:
        luck = jnp.stack([noise[name][0] for name in ("week_visit", "week_baskets", "week_spend")])[:, None]
        sd = jnp.stack([self.shocks[name] for name in ("visit_sd", "baskets_sd", "spend_sd")])[:, None]
        memory = self.shocks["memory"]
        shock = memory * s["shock"] + sd * jnp.sqrt(1.0 - jnp.square(memory)) * luck
        traits = {name: jnp.where(week == 0, noise[name], s[name]) for name in ("trait_baskets", "trait_spend")}
        return s | traits | {"shock": shock}

    def baseline(self, s: State, seen: Any) -> SimpleNamespace:
        """Return the learned baseline of customers with these features."""
        r, member = self.response, s["member"]
        z = jnp.clip((jnp.minimum(seen, self.limit) - r["mean"]) / r["scale"], -self.k.max_z, self.k.max_z)
        z = z[:, jnp.asarray(self.k.baseline_features)]
        if self.k.family == "additive":
            z = jnp.concatenate([z, jnp.square(z) - 1.0], 1)
        hidden = z.reshape(len(member), -1, z.shape[1])
        depth = sum(name.startswith("weight_") for name in r)
        for layer in range(depth):
            hidden = hidden @ r[f"weight_{layer}"][member] + r[f"bias_{layer}"][member]
            hidden = jax.nn.relu(hidden) if layer < depth - 1 else hidden
        visit, extra, mean, sd = hidden.reshape(-1, hidden.shape[2]).T
        slope, shift, level = r["calibration"]
        v, (visit_level, basket_level, spend_level) = self.visit, self.k.level
        log_sd = jnp.exp(jnp.clip(sd, -2.0, 0.7))
        trait = jnp.exp(v["basket_trait"] * (s["trait_baskets"] - v["basket_trait"] / 2))
        return SimpleNamespace(
            visit=jnp.where(s["here"], slope * visit + shift + s["shock"][0] + visit_level, -30.0),
            extra=jnp.exp(jnp.clip(extra, -6.0, 2.5)) * jnp.exp(s["shock"][1] + basket_level) * trait,
            mean=jnp.minimum(mean + level, self.k.max_log_spend)
            + s["shock"][2]
            + spend_level
            + jnp.sqrt(v["spend_trait"]) * log_sd * s["trait_spend"],
            sd=log_sd * jnp.sqrt(1.0 - v["spend_trait"]),
        )

    def lift(self, s: State, wallet: SimpleNamespace) -> SimpleNamespace:
        e, live, offer = s["effects"], s["weeks_left"] > 0, s["offer"]
        saving = live * self.expected_saving(offer, wallet)
        pull = e["salience"] ** s["age"].astype(F32)
        pull *= jnp.exp(-e["fatigue"] * s["customer"]["recent_contacts"].sum(1))
        kind = self.columns["kind"][offer][:, None]

        def own(table: Any) -> Any:
            return jnp.take_along_axis(table, kind, 1)[:, 0]

        log, share = jnp.log1p(saving), jnp.minimum(saving / jnp.maximum(wallet.week, 5.0), 1.0)
        if "reach" in e:
            reach = e["reach"]
            floor, ceiling, stretch = own(reach["floor"]), own(reach["ceiling"]), own(reach["stretch"])
            above = jnp.minimum(log, ceiling) + stretch * jnp.maximum(log - ceiling, 0.0)
            below = floor * jnp.minimum(log / jnp.maximum(floor, 1e-6), 1.0) ** stretch
            log = jnp.where(log < floor, below, above)
            most = reach["share_ceiling"]
            share = jnp.minimum(share, most) + reach["share_stretch"] * jnp.maximum(share - most, 0.0)
        hazard = s["redeem_hazard"] + own(e["redeem_shift"]) + e["redeem_slope"] * jnp.log(jnp.maximum(saving, 0.05))
        pantry = (s["customer"]["pantry"] - s["shadow"]["pantry"]) / jnp.maximum(wallet.week, 5.0)
        habit = jnp.maximum(self.saved_share(s["customer"]) - self.saved_share(s["shadow"]), 0.0)
        return SimpleNamespace(
            visit=own(e["visit"]) * log * pull,
            spend=e["spend"] * share * pull
            - e["reference_price"] * habit
            - e["stockpiling"] * jnp.clip(pantry, 0.0, 1.0),
            redeem=live * jax.nn.sigmoid(hazard),
        )

    def saved_share(self, c: State) -> Any:
        correction = self.correction(c, self.k.habit_half_life)
        spend = jnp.maximum(c["spend_average"][:, self.habit] / correction, 1.0)
        return c["saving_average"] / correction / spend

    def expected_saving(self, offer: Any, wallet: SimpleNamespace) -> Any:
        threshold, basket = self.columns["threshold"][offer], cents(wallet.basket)
        worth, _ = self.price(offer, jnp.maximum(basket, threshold), cents(wallet.basket * wallet.share))
        near = jnp.square(jnp.minimum(basket.astype(F32) / jnp.maximum(threshold, 1).astype(F32), 1.0))
        return worth.astype(F32) / 100.0 * jnp.where(threshold > 0, near, 1.0)

    def chances(self, mean: Any) -> list[Any]:
        """Return the chances of 0, 1, ... baskets beyond the first."""
        size = self.visit["size"]
        chances = [jnp.exp(-size * jnp.log1p(mean / size))]
        for k in range(1, self.k.most_baskets + 1):
            chances.append(chances[-1] * (mean / (size + mean)) * ((size + (k - 1)) / k))
        return chances

    def expected_spend(self, b: SimpleNamespace) -> Any:
        total = below = 0.0
        for k, chance in enumerate(self.chances(b.extra)):
            total, below = total + chance * (1.0 + k) ** self.visit["basket_slope"], below + chance
        most = (1.0 + self.k.most_baskets) ** self.visit["basket_slope"]
        total += jnp.maximum(1.0 - below, 0.0) * most
        c = self.visit["cumulants"]
        factor = total * jnp.exp(b.sd * (c[0] + b.sd * (c[1] + b.sd * c[2])))
        return jax.nn.sigmoid(b.visit) * jnp.exp(b.mean) * factor

    def shop(self, b: SimpleNamespace, noise: State) -> SimpleNamespace:
        below, count = 0.0, jnp.zeros_like(b.extra)
        for chance in self.chances(b.extra)[:-1]:
            below = below + chance
            count += noise["baskets"] > below
        baskets, quantiles = 1.0 + count, self.visit["quantiles"]
        place = ndtr(noise["spend"]) * (len(quantiles) - 1)
        low = jnp.clip(jnp.floor(place), 0, len(quantiles) - 2).astype(jnp.int32)
        residual = quantiles[low] + (place - low) * (quantiles[low + 1] - quantiles[low])
        spend = jnp.exp(b.mean + self.visit["basket_slope"] * jnp.log(baskets) + b.sd * residual.astype(F32))
        return SimpleNamespace(visited=noise["visit"] < jax.nn.sigmoid(b.visit), baskets=baskets, spend=spend)

    def serve(self, s: State, claims: Any, noise: State) -> tuple[Any, Any]:
        fill = jnp.ones_like(noise["arrival"])
        for index, stock in enumerate(self.k.stock):
            if stock is None:
                continue
            of_offer = s["offer"] == index
            mine = claims & of_offer
            first = jax.lax.top_k(jnp.where(mine, -noise["arrival"], -jnp.inf), min(stock, len(mine)))[1]
            served = mine & jnp.zeros_like(mine).at[first].set(True)
            chance = jnp.minimum(stock / (mine.sum() - mine + 1), 1.0).astype(F32)
            fill = jnp.where(of_offer, chance, fill)
            claims &= served | ~of_offer
        return claims, fill

    def advance(self, c: State, bought: SimpleNamespace, wallet: SimpleNamespace, noise: State, deal: State) -> State:
        """Turn a customer's state and their week into the next state."""
        v, k, visited = self.visit, self.k, bought.visited
        spend, log_spend = bought.spend * visited, jnp.log(jnp.maximum(bought.spend, 0.5))
        habit = jnp.minimum(c["promo_average"] / jnp.maximum(c["spend_average"][:, 2], 1e-3), 1.0)
        p = v["promo"]
        spread = jnp.exp(jnp.clip(p[3] + p[4] * log_spend, -4.0, 2.0))
        on_promo = jnp.clip(p[0] + p[1] * habit + p[2] * log_spend + spread * noise["promo"], 0.0, 1.0)
        log_taste = jnp.log(wallet.taste + k.taste_floor)
        slopes = v["incidence_slopes"]
        chance = jax.nn.sigmoid(v["incidence"] + slopes[0] * log_taste + slopes[1] * log_spend[:, None])
        uniform = noise["categories"]
        draw = jnp.where(uniform < chance, -jnp.log(jnp.clip(uniform / chance, 1e-6, 1.0 - 1e-6)), 1e-6)
        amount = jnp.exp(v["amount"] + v["amount_slope"] * log_taste) * draw

        def clock(name: str, happened: Any) -> Any:
            return jnp.where(happened, 0.0, jnp.minimum(c[name] + 1.0, k.never)).astype(F32)

        def mean(name: str, value: Any, decay: Any) -> Any:
            return c[name] * decay + value * (1.0 - decay)

        habit_decay = self.decay(k.habit_half_life)
        exposure = c["exposure_average"] / self.correction(c, k.habit_half_life)
        shares = amount / amount.sum(1, keepdims=True)
        return {
            "weeks_seen": c["weeks_seen"] + 1.0,
            "weeks_since_visit": clock("weeks_since_visit", visited),
            "weeks_since_contact": clock("weeks_since_contact", deal["contacted"]),
            "weeks_since_redemption": clock("weeks_since_redemption", deal["redeemed"]),
            "visit_average": mean("visit_average", visited.astype(F32)[:, None], self.decays),
            "spend_average": mean("spend_average", spend[:, None], self.decays),
            "basket_average": mean("basket_average", bought.baskets * visited, habit_decay),
            "promo_average": mean("promo_average", spend * on_promo, habit_decay),
            "saving_average": mean("saving_average", deal["saved"], habit_decay),
            "redeemed_average": mean("redeemed_average", deal["redeemed"].astype(F32), habit_decay),
            "exposure_average": mean("exposure_average", exposure, habit_decay),
            "pantry": c["pantry"] * self.decay(k.pantry_half_life) + deal["saved"],
            "recent_contacts": jnp.concatenate(
                [deal["contacted"].astype(F32)[:, None], c["recent_contacts"][:, :-1]], 1
            ),
            "category_average": mean("category_average", spend[:, None] * shares, self.decay(k.taste_half_life)),
        }

    def week(self, s: State, week: Any, action: Any, noise: State) -> tuple[State, State]:
        """Live through one week; return the state after it and the sums of what happened."""
        seen, wallet = self.features(s["customer"]), self.wallet(s["customer"], s["promoted"])
        permitted = jnp.take_along_axis(self.mask(s, wallet), action[:, None], 1)[:, 0]
        s, made = self.send(s, jnp.where(permitted, action, 0), noise)
        s = self.shake(s, noise, week)
        own, other = self.baseline(s, seen), self.baseline(s, self.features(s["shadow"]))
        lift, causal = self.lift(s, wallet), s["effects"]["carryover"]
        touched = SimpleNamespace(
            visit=other.visit + causal * (own.visit - other.visit) + lift.visit,
            extra=other.extra + causal * (own.extra - other.extra),
            mean=other.mean + causal * (own.mean - other.mean) + lift.spend,
            sd=other.sd,
        )
        bought, alone, live = self.shop(touched, noise), self.shop(other, noise), s["weeks_left"] > 0
        basket = bought.spend / bought.baskets
        price, discount = self.price(s["offer"], cents(basket), cents(basket * wallet.share))
        intent = bought.visited & live & (noise["redeem"] < lift.redeem) & (price > 0)
        redeemed, fill = self.serve(s, intent, noise)
        contact = self.columns["contact"][made].astype(F32) / 100.0
        cost = jax.nn.sigmoid(touched.visit) * lift.redeem * live * fill * price.astype(F32) / 100.0 + contact
        paid = jnp.where(redeemed, price, 0)
        deal = {
            "saved": jnp.where(redeemed, discount, 0).astype(F32) / 100.0,
            "redeemed": redeemed,
            "contacted": made > 0,
        }
        none = {name: jnp.zeros_like(value) for name, value in deal.items()}
        left = jnp.where(redeemed, 0, jnp.maximum(s["weeks_left"] - 1, 0))
        after = s | {
            "customer": self.advance(s["customer"], bought, wallet, noise, deal),
            "shadow": self.advance(s["shadow"], alone, wallet, noise, none),
            "offer": jnp.where(left == 0, 0, s["offer"]),
            "weeks_left": left,
            "age": s["age"] + 1,
            "ledger": release(commit(s["ledger"], paid), left == 0),
        }
        outcome = {
            "net": wallet.margin * self.expected_spend(touched) - cost,
            "shadow_net": wallet.margin * self.expected_spend(other),
            "cost": cost,
            "spend": bought.spend * bought.visited,
            "visited": bought.visited,
            "redeemed": redeemed,
            "realised_cost": paid.astype(F32) / 100.0 + contact,
        }
        return after, {name: value.astype(jnp.float64).sum() for name, value in outcome.items()}


def running_total(amount: Any, priority: Any) -> Any:
    order = jnp.argsort(priority)
    return jnp.zeros_like(amount).at[order].set(jnp.cumsum(amount[order]))


def commit(ledger: State, cost: Any) -> State:
    paid = jnp.minimum(jnp.maximum(cost, 0), ledger["reserved"][0])
    return ledger | {
        "reserved": ledger["reserved"] - paid[None],
        "spent": ledger["spent"] + paid.sum(),
        "excess": ledger["excess"] + jnp.abs(cost - paid).sum(),
    }


def release(ledger: State, closed: Any) -> State:
    back = ledger["reserved"] * closed[None]
    return ledger | {"remaining": ledger["remaining"] + back.sum(), "reserved": ledger["reserved"] - back}


def draw_noise(key: Any, n: int, k: int) -> State:
    """Draw a week's luck: as many numbers of each sort as ours."""
    of_uniform, of_normal, of_categories = jax.random.split(key, 3)
    names = ("visit", "baskets", "redeem", "arrival", "turn", "come", "leave")
    noise = dict(zip(names, jax.random.uniform(of_uniform, (7, n), F32), strict=True))
    names = ("spend", "promo", "week_visit", "week_baskets", "week_spend", "trait_baskets", "trait_spend")
    noise |= dict(zip(names, jax.random.normal(of_normal, (7, n), F32), strict=True))
    return noise | {"categories": jax.random.uniform(of_categories, (n, k), F32)}
