"""Fit the segments: inputs of training customers, the number of segments, their centroids and names."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from history.features import spend_per_active_week, spend_rates, visit_rates
from history.state import State
from simulators.profiles.segment_count import Trial, choose_count, try_counts
from simulators.profiles.segment_names import Position, name_segments
from simulators.profiles.segments import (
    AWAY_WEEKS,
    INPUTS,
    Segments,
    assign_segment,
    cluster,
    measure_inputs,
    one_segment,
    segment_inputs,
    standardise,
)


@dataclass(frozen=True, eq=False)
class Grouping:
    """Fitted segments.

    Attributes:
        segments: The groups.
        trials: Each number of segments that was tried.
        verdict: What came out, in a sentence.
    """

    segments: Segments
    trials: list[Trial]
    verdict: str


def fit_segments(state: State, currency: str, seed: int, resamples: int = 20) -> Grouping:
    """Group the training customers as they stand in `state`; one segment where none can be told apart."""
    mean, scale = measure_inputs(state)
    z = standardise(segment_inputs(state), mean, scale).numpy()
    trials = try_counts(z, seed, resamples)
    k = choose_count(trials)
    if k == 1:
        why = "no number of segments comes out the same in other samples" if trials else "too few customers differ"
        return Grouping(one_segment(mean, scale), trials, f"Customers are one segment: {why}.")
    centroids = torch.from_numpy(cluster(z, k, seed, starts=5))
    unnamed = Segments(tuple(str(i) for i in range(k)), mean, scale, centroids)
    names = name_segments(_positions(unnamed, state), currency)
    chosen = trials[k - 2]
    verdict = (
        f"Customers fall into {k} segments (silhouette {chosen.silhouette:.2f}); fits on resampled customers agree "
        f"with an adjusted Rand index of {chosen.stability:.2f} (1 is the same, 0 is chance)."
    )
    return Grouping(replace(unnamed, names=names), trials, verdict)


def _positions(segments: Segments, state: State) -> list[Position]:
    own = assign_segment(segments, state)
    promo, coupons = (INPUTS.index(name) for name in ("promo_share", "log_redemptions"))
    away = state.weeks_since_visit.clamp(max=AWAY_WEEKS)

    def mean(values: Tensor, one: int) -> float:
        return float(values[own == one].double().mean().nan_to_num())

    return [
        Position(
            visit_weeks=mean(visit_rates(state)[:, 2], one),
            weeks_since_visit=mean(away, one),
            basket=mean(spend_per_active_week(state), one),
            promo=float(segments.centroids[one, promo]),
            coupons=float(segments.centroids[one, coupons]),
            spend=mean(spend_rates(state)[:, 2], one),
        )
        for one in range(len(segments.names))
    ]
