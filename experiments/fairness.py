"""Whether what is offered, and what it costs and brings, differs between groups that nobody decided by."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from campaigns.decision import Context, ObservationLayout, Policy
from campaigns.errors import InputError
from evaluation.estimate import Estimate
from evaluation.fairness.groups import Finding, Grouping, by_group, judge, together, worst_ratio
from evaluation.fairness.proxy import told_by
from evaluation.fairness.settings import FairnessConfig
from evaluation.fairness.twins import twin_distances
from experiments.config import Config
from experiments.deployment import Deployment
from experiments.history import PreparedHistory, Start, starting_states
from serving.arms import Arm
from serving.rules import Segments
from simulators.profiles.demographics import IDENTITY

FILE: Final = "fairness.json"
SEED: Final = 30_031
MEASURES: Final = ("offer_rate", "spent")
"""Held against the limit; what offers bring is told beside, as it is the shop's gain and not the customer's."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Decided:
    """What was decided for n customers.

    Attributes:
        customer: Row of each in the table of customers, shape (n,), int64.
        chances: Of every offer, "no offer" first, shape (n, n_offers).
        spent: Expected promo and contact cost of what was drawn [currency], shape (n,).
    """

    customer: NDArray[np.int64]
    chances: Floats
    spent: Floats


@dataclass(frozen=True, eq=False)
class Brought:
    """What the policy brings on the held-out market.

    Attributes:
        customer: Row of each of m customers in the table of customers, shape (m,), int64.
        uplift: Per customer and campaign week [currency], shape (worlds, m).
    """

    customer: NDArray[np.int64]
    uplift: Floats


@dataclass(frozen=True, eq=False)
class Decider:
    """Who decides, and of whom: what twins are tried on."""

    policy: Policy[Tensor]
    context: Context[Tensor]
    layout: ObservationLayout
    segments: Segments


def decided_by(deployed: Deployment, start: Start) -> Decided:
    """Return what the policy decided for those whom it decides for."""
    mine = np.flatnonzero(deployed.drawn.arm == list(Arm).index(Arm.OPTIMISED))
    return Decided(start.customer.numpy()[mine], deployed.drawn.weights[mine], deployed.spent[mine])


def brought_to(config: Config, history: PreparedHistory, deployed: Deployment) -> Brought:
    """Return what the policy brings each held-out customer and campaign week."""
    split = history.splits.test
    first = range(split.weeks.start, split.weeks.start + 1)
    customer = starting_states(history.panel, split, first, config.market).customer.numpy()
    return Brought(customer, deployed.held_out.uplift / config.market.horizon.campaign_weeks)


def judge_fairness(
    customers: pd.DataFrame, decided: Decided, brought: Brought, decider: Decider, config: FairnessConfig
) -> dict[str, Any]:
    """Return what fairness.json says.

    Args:
        customers: One row per customer of the history; every column beside the ids is an attribute.
        decided: For those whom the policy decides for.
        brought: On the held-out market.
        decider: The policy and its rules.
        config: What to judge by.

    Raises:
        InputError: A protected attribute is no column, or is read by the policy; or a forbidden feature is none.
    """
    attributes = _attributes(customers, config)
    features = (*decider.layout.feature_names, *(one.name for one in decider.segments.features))
    used = sorted(set(attributes) & set(features))
    if used:
        raise InputError(
            f"fairness: the policy reads {used[0]!r}, which is a protected attribute; take it out of what it sees"
        )
    rows = [_attribute(customers, name, decided, brought, config.limit) for name in attributes]
    moved = twin_distances(decider.policy, decider.context, decider.layout, config.forbidden, SEED)
    ruled = {condition.feature for rule in decider.segments.rules for condition in rule.conditions}
    twins = [
        {
            "feature": name,
            "distance": distance,
            "in_rules": name in ruled,
            "passes": distance == 0 and name not in ruled,
        }
        for name, distance in moved.items()
    ]
    findings = [Finding(row["finding"]) for row in rows]
    findings += [Finding.PASS if twin["passes"] else Finding.FAIL for twin in twins]
    return {
        "limit": config.limit,
        "customers": len(decided.customer),
        "held_out": len(brought.customer),
        "attributes": rows,
        "twins": twins,
        "finding": together(findings).value,
        "verdict": _verdict(rows, twins, config.limit),
    }


def _attributes(customers: pd.DataFrame, config: FairnessConfig) -> list[str]:
    there = [str(name) for name in customers.columns if name not in IDENTITY]
    unknown = [name for name in config.protected if name not in there]
    if unknown:
        known = f"expected some of {', '.join(there)}" if there else "the source states no attribute of a customer"
        raise InputError(f"export.fairness.protected: {unknown[0]!r} is no attribute of a customer; {known}")
    return config.protected or there


def _attribute(customers: pd.DataFrame, name: str, decided: Decided, brought: Brought, limit: float) -> dict[str, Any]:
    """Judge the decisions by one attribute."""
    everybody = Grouping.of(name, customers[name])
    grouping, judged = everybody.take(decided.customer), everybody.take(brought.customer)
    offered = 1.0 - decided.chances[:, 0]
    values = dict(zip(MEASURES, (offered, decided.spent), strict=True))
    means = {measure: by_group(column, grouping) for measure, column in values.items()}
    means["uplift"] = by_group(brought.uplift, judged)
    groups = [
        {
            "group": group,
            "customers": int(count),
            "held_out": int(later),
            **{measure: _plain(found[place]) for measure, found in means.items()},
        }
        for place, (group, count, later) in enumerate(
            zip(everybody.names, grouping.sizes(), judged.sizes(), strict=True)
        )
    ]
    worst = {measure: worst_ratio(column, grouping) for measure, column in values.items()}
    findings = {measure: judge(one, limit) for measure, one in worst.items()}
    told = told_by(decided.chances, grouping, SEED)
    return {
        "attribute": name,
        "stated": int((grouping.code >= 0).sum()),
        "groups": groups,
        "worst": {measure: None if one is None else asdict(one) for measure, one in worst.items()},
        "findings": {measure: finding.value for measure, finding in findings.items()},
        "finding": together(list(findings.values())).value,
        "proxy": [asdict(one) for one in told],
    }


def _plain(estimate: Estimate | None) -> dict[str, Any] | None:
    return None if estimate is None else estimate.to_dict()


def _verdict(rows: Sequence[Mapping[str, Any]], twins: Sequence[Mapping[str, Any]], limit: float) -> str:
    if not rows:
        words = "not measured: the source states no attribute of a customer"
    else:
        named = {finding: [row["attribute"] for row in rows if row["finding"] == finding.value] for finding in Finding}
        said = {
            Finding.FAIL: f"apart by more than {limit:g} of each other",
            Finding.INCONCLUSIVE: "inconclusive",
            Finding.NOT_ESTIMABLE: "not estimable",
            Finding.PASS: f"within {limit:g} of each other",
        }
        parts = [
            f"groups by {', '.join(names).replace('_', ' ')} are {said[finding]}"
            for finding, names in named.items()
            if names
        ]
        words = "; ".join(parts)
    moved = [twin["feature"] for twin in twins if not twin["passes"]]
    if moved:
        words += f"; decisions move with {', '.join(moved)}, which must not matter"
    elif twins:
        words += "; what must not matter moves no decision"
    return words
