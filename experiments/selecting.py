"""Which agent one would pick, before and after the held-out market is opened, and what a wrong pick costs."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.estimate import estimate_mean, middle_95
from evaluation.selection import (
    TAIL,
    chance_best,
    conditional_value_at_risk,
    expected_regret,
    judge_claims,
    pick,
    redraw,
)

FILE: Final = "selection.json"
IN_PLACE: Final = ("business_as_usual", "no_offer")
"""What the shop does now, by the first of these that was judged."""
SEED: Final = 20_021

Uplifts = Mapping[str, NDArray[np.float64]]
"""By agent, uplift per customer and campaign week [currency], shape (seeds, draws, customers)."""


def judge_selection(
    validation: Mapping[str, float], home: Uplifts, held_out: Uplifts, reference: str
) -> dict[str, Any]:
    """Return what selection.json says.

    Args:
        validation: Score of each agent by which one would be picked.
        home: Uplift in the market that the agents learned in.
        held_out: Uplift in the one that judges them, the same customers and draws for all.
        reference: Agent that the others are claimed to beat.
    """
    agents = sorted(held_out, key=lambda agent: -held_out[agent].mean())
    means = redraw([held_out[agent] for agent in agents], SEED)
    true = np.array([held_out[agent].mean() for agent in agents])
    best, regret = chance_best(means), expected_regret(means)
    in_place = next((name for name in IN_PLACE if name in held_out), None)
    worth = 0.0 if in_place is None else float(held_out[in_place].mean())
    scores = np.array([validation[agent] for agent in agents])
    return {
        "agents": [
            {
                "agent": agent,
                "uplift": float(value),
                "chance_best": float(chance),
                "expected_regret": float(lost),
                "tail": _tail(held_out[agent]),
            }
            for agent, value, chance, lost in zip(agents, true, best, regret, strict=True)
        ],
        "tail": TAIL,
        "picked": agents[int(scores.argmax())],
        "in_place": in_place,
        "picks": [asdict(one) for one in pick(scores, true, worth)],
        "claims": _claims(home, held_out, reference),
    }


def _tail(uplift: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean uplift under the worst draws of the effects, with its 95 % interval over customers and draws."""
    by_draw = uplift.mean(axis=0)
    rng = np.random.default_rng(SEED)
    draws, customers = by_draw.shape
    weight = rng.multinomial(customers, np.full(customers, 1.0 / customers), size=1000).T / customers
    again = np.take_along_axis((by_draw @ weight).T, rng.integers(draws, size=(1000, draws)), axis=1)
    lo, hi = middle_95(conditional_value_at_risk(again))
    return {"value": float(conditional_value_at_risk(by_draw.mean(axis=1))), "lo": lo, "hi": hi}


def _claims(home: Uplifts, held_out: Uplifts, reference: str) -> dict[str, Any] | None:
    """Return how claims to beat an agent, made in the market that all learned in, hold in the other one."""
    others = [agent for agent in held_out if agent != reference]
    if reference not in held_out or not others:
        return None
    claimed, truly = [], []
    for agent in others:
        claimed.append(estimate_mean(home[agent].mean(axis=0) - home[reference].mean(axis=0)).lo > 0)
        truly.append(held_out[agent].mean() > held_out[reference].mean())
    found = judge_claims(np.array(claimed), np.array(truly))
    named = [agent for agent, said in zip(others, claimed, strict=True) if said]
    return {"reference": reference, "claimed": named, **asdict(found)}
