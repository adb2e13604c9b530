"""What one offer does, from a log that names its offers: the market's own parameters, with orthogonal scores.

The market says: logit of a visit = baseline(x) + theta[kind] * log1p(saving) * exp(-fatigue * contacts) in the week in
which an offer is sent. The score below is blind to first order to errors of the baseline and of the chances of being
sent an offer, both fitted on other customers.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from simulators.effects.crossfit import Flags, Floats, cross_fit, curved, dummies, fold_of, logistic, ridge, sigmoid
from simulators.effects.inference import Effect, effect_of
from simulators.effects.leaning import LeanEstimate, estimate_leans
from simulators.effects.offer_log import KINDS, OfferRows
from simulators.effects.visit_score import VisitProblem

FEWEST: Final = 30
"""Fewest customer-weeks of a kind of offer that an estimate is made of."""
MOST_CHANCE: Final = 0.95
"""Customer-weeks that were nearly sure to be sent an offer have nobody to be compared with."""
MOST_ROWS: Final = 40_000
"""Most rows that a nuisance is fitted to."""
NO_OFFER: Final = "offer effects: assumed, the log names no offer"


@dataclass(frozen=True, eq=False)
class OfferEffects:
    """What a log that names its offers says.

    Attributes:
        verdict: One sentence.
        visit: Logit of a visit per log1p(saving), by kind ("coupon").
        naive: The same from sent against not sent, without adjustment.
        spend: Log spend of a week with a visit per share saved, or None.
        fatigue: Log of the lift lost per contact in 8 weeks, or None.
        support: Least and most that the log's offers of a kind would save [currency], 5 % and 95 % quantile.
        rows: Customer-weeks with an offer of the kind.
        leans: How the visit effects lean on what is known of customers, or None.
    """

    verdict: str
    visit: dict[str, Effect]
    naive: dict[str, Effect]
    spend: Effect | None
    fatigue: Effect | None
    support: dict[str, tuple[float, float]]
    rows: dict[str, int]
    leans: LeanEstimate | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "visit": {kind: effect.to_dict() for kind, effect in self.visit.items()},
            "naive": {kind: effect.to_dict() for kind, effect in self.naive.items()},
            "spend": self.spend and self.spend.to_dict(),
            "fatigue": self.fatigue and self.fatigue.to_dict(),
            "support": {kind: list(ends) for kind, ends in self.support.items()},
            "rows": self.rows,
        }


NONE: Final = OfferEffects(NO_OFFER, {}, {}, None, None, {}, {})


def estimate_offers(rows: OfferRows | None, fatigue: float, fatigue_spread: float, seed: int) -> OfferEffects:
    """Estimate the visit effect of each kind of offer, their effect on spend, and fatigue.

    Args:
        rows: Customer-weeks, or None.
        fatigue: Held at this prior mean while the visit effects are estimated [log lift per contact].
        fatigue_spread: Its standard deviation; what it moves widens the intervals.
        seed: Of the folds.

    Reference:
        Liu, Zhang & Zhou, "Double/debiased machine learning for logistic partially linear model", Econometrics Journal
        24(3), 2021, with the baseline's variance as weight.
    """
    if rows is None:
        return NONE
    rows, chance = _with_overlap(rows, seed)
    sent = np.array([int((rows.offer == o).sum()) for o in rows.logged])
    counts = {KINDS[k].value: int(sent[rows.kind == k].sum()) for k in np.unique(rows.kind)}
    kinds = np.array([k for k in np.unique(rows.kind) if counts[KINDS[k].value] >= FEWEST], dtype=np.int64)
    if not len(kinds):
        return replace(NONE, verdict="offer effects: not identified: too few offers with somebody to compare with")
    problem = visit_problem(rows, chance, kinds, seed)
    theta, influence = problem.solve(fatigue)
    slope = (problem.solve(fatigue + 0.02)[0] - problem.solve(max(fatigue - 0.02, 0.0))[0]) / (
        fatigue + 0.02 - max(fatigue - 0.02, 0.0)
    )
    visit = {
        KINDS[k].value: _widened(effect_of(influence[:, j], theta[j], problem.customer), slope[j] * fatigue_spread)
        for j, k in enumerate(kinds)
    }
    return OfferEffects(
        verdict="offer effects: estimated, if what the shop aimed by is among the features",
        visit=visit,
        naive=_naive(rows, kinds),
        spend=_spend(rows, fatigue, seed),
        fatigue=_fatigue(problem, theta, fatigue),
        support=_support(rows, kinds),
        rows={KINDS[k].value: counts[KINDS[k].value] for k in kinds},
        leans=estimate_leans(problem, rows.x[_active(rows)], visit.keys(), theta, fatigue),
    )


def _with_overlap(rows: OfferRows, seed: int) -> tuple[OfferRows, Floats]:
    """Keep customer-weeks that were not nearly sure of an offer; and return each offer's chance, (n, n_logged)."""
    everyone = np.ones(len(rows), dtype=bool)
    chance = _chances(rows, everyone, seed)
    keep = chance.sum(axis=1) <= MOST_CHANCE
    return rows.where(keep), chance[keep]


def _chances(rows: OfferRows, learn: Flags, seed: int) -> Floats:
    """Return the cross-fitted chance of each logged offer, zero in weeks in which it was sent to nobody."""
    chance = np.zeros((len(rows), len(rows.logged)))
    for j, offer in enumerate(rows.logged):
        here = np.isin(rows.week, np.unique(rows.week[rows.offer == offer]))
        x = np.concatenate([curved(rows.x[here]), dummies(rows.week[here])], axis=1)
        fold = fold_of(rows.customer[here], seed)
        y = (rows.offer[here] == offer).astype(np.float64)
        chance[here, j] = cross_fit(logistic(), x, y, fold, _capped(learn[here]))
    return np.clip(chance, 0.0, 1.0)


def visit_problem(rows: OfferRows, chance: Floats, kinds: Any, seed: int) -> VisitProblem:
    """Fit the nuisances and keep the weeks in which something was sent."""
    x = np.concatenate([curved(rows.x), dummies(rows.week)], axis=1)
    y = rows.visited.astype(np.float64)
    fold = fold_of(rows.customer, seed)
    baseline = cross_fit(logistic(), x, y, fold, _capped(rows.offer == 0))
    missed = _chances(rows, ~rows.visited, seed) if (~rows.visited).sum() >= FEWEST else chance
    value = np.log1p(rows.worth)
    made = (rows.offer[:, None] == rows.logged[None, :]).astype(np.float64)
    dose = np.stack([(made * value)[:, rows.kind == k].sum(axis=1) for k in kinds], axis=1)
    expected = np.stack([(missed * value)[:, rows.kind == k].sum(axis=1) for k in kinds], axis=1)
    active = _active(rows)
    return VisitProblem(
        dose[active], expected[active], np.clip(baseline, 1e-3, 1 - 1e-3)[active], y[active], rows.contacts[active],
        rows.customer[active],
    )  # fmt: skip


def _active(rows: OfferRows) -> Flags:
    """Return which rows lie in weeks in which something was sent, shape (n,), bool."""
    active: Flags = np.isin(rows.week, np.unique(rows.week[rows.offer > 0]))
    return active


def _spend(rows: OfferRows, fatigue: float, seed: int) -> Effect | None:
    """Estimate log spend of a week with a visit per share of the week saved, residual on residual (Robinson 1988)."""
    seen = rows.visited & (rows.spend > 0.0)
    if int((rows.offer[seen] > 0).sum()) < FEWEST:
        return None
    part = rows.where(seen)
    x = np.concatenate([curved(part.x), dummies(part.week)], axis=1)
    fold = fold_of(part.customer, seed)
    made = (part.offer[:, None] == part.logged[None, :]).astype(np.float64)
    tired = np.exp(-fatigue * part.contacts)
    dose = (made * part.share).sum(axis=1) * tired
    expected = (_chances(part, np.ones(len(part), dtype=bool), seed) * part.share).sum(axis=1) * tired
    log_spend = np.log(part.spend)
    rest = log_spend - cross_fit(ridge(), x, log_spend, fold, part.offer == 0)
    active = _active(part)
    left = (dose - expected)[active]
    slope = float(left @ dose[active])
    if slope <= 1e-9:
        return None
    value = float(left @ rest[active]) / slope
    return effect_of(left * (rest[active] - value * dose[active]) / slope, value, part.customer[active])


def _fatigue(problem: VisitProblem, theta: Floats, start: float) -> Effect | None:
    """Estimate fatigue where offers were sent after few and after many contacts; None where that says nothing."""
    sent = problem.dose.sum(axis=1) > 0
    if not sent.any() or float(problem.contacts[sent].std()) < 0.25 or float(np.abs(theta).max()) < 1e-6:
        return None
    found = problem.solve_with(theta, start)
    if found is None:
        return None
    effect = effect_of(found[1][:, -1], float(found[0][-1]), problem.customer)
    return effect if effect.error < 1.0 else None


def _naive(rows: OfferRows, kinds: Any) -> dict[str, Effect]:
    """Return the plain log odds ratio of a visit per unit of dose, sent against not sent."""
    y, none = rows.visited.astype(np.float64), rows.offer == 0
    result = {}
    for k in kinds:
        mine = np.isin(rows.offer, rows.logged[rows.kind == k])
        dose = np.log1p((rows.worth * (rows.offer[:, None] == rows.logged[None, :])).sum(axis=1))
        keep = none | mine
        x = np.column_stack([np.ones(int(keep.sum())), dose[keep]])
        beta = np.zeros(2)
        for _ in range(12):
            p = sigmoid(x @ beta)
            information = (x * (p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
            beta = beta + np.linalg.solve(information, x.T @ (y[keep] - p))
        influence = (x * (y[keep] - sigmoid(x @ beta))[:, None]) @ np.linalg.inv(information)
        result[KINDS[k].value] = effect_of(influence[:, 1], float(beta[1]), rows.customer[keep])
    return result


def _support(rows: OfferRows, kinds: Any) -> dict[str, tuple[float, float]]:
    ends = {}
    for k in kinds:
        made = rows.offer[:, None] == rows.logged[None, rows.kind == k]
        worth = rows.worth[:, rows.kind == k][made]
        ends[KINDS[k].value] = (float(np.quantile(worth, 0.05)), float(np.quantile(worth, 0.95)))
    return ends


def _widened(effect: Effect, more: float) -> Effect:
    """Add an independent standard deviation to an effect's error."""
    error = float(np.hypot(effect.error, more))
    scale = error / effect.error if effect.error > 0 else 1.0
    return replace(
        effect,
        error=error,
        lo=effect.value - scale * (effect.value - effect.lo),
        hi=effect.value + scale * (effect.hi - effect.value),
    )


def _capped(learn: Flags) -> Flags:
    """Keep every k-th of the rows to learn from, so that at most `MOST_ROWS` are left."""
    step = -(-int(learn.sum()) // MOST_ROWS)
    return learn if step <= 1 else learn & ((np.cumsum(learn) - 1) % step == 0)
