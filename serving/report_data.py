"""What the report shows, as records: read once from plain data, then only looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

import pandas as pd

from campaigns.errors import InputError
from history.quality import Quality, quality_from_dict
from serving.rules import Segments
from serving.section import Section

Record = TypeVar("Record")


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    lo: float
    hi: float

    @property
    def above_zero(self) -> bool:
        return self.lo > 0

    @property
    def below_zero(self) -> bool:
        return self.hi < 0


@dataclass(frozen=True)
class Decile:
    """One tenth of the rows, by prediction: mean prediction, mean outcome with its 95 % interval, rows."""

    predicted: float
    observed: float
    lo: float
    hi: float
    n: int


@dataclass(frozen=True)
class Fit:
    """How well a chance was predicted for weeks and customers never seen, beside a naive reference."""

    auc: float
    auc_lo: float
    auc_hi: float
    log_loss: float
    reference_auc: float
    reference_log_loss: float
    log_loss_gain: float
    log_loss_gain_lo: float
    log_loss_gain_hi: float
    slope: float
    deciles: tuple[Decile, ...]


@dataclass(frozen=True)
class Response:
    """Fit of visit and redemption (None: not estimable), and deciles of spend in a week with a visit [currency]."""

    visit: Fit | None
    redemption: Fit | None
    spend: tuple[Decile, ...]


@dataclass(frozen=True)
class AgentScore:
    """One agent on the held-out market; money per customer and week.

    Attributes:
        agent: Its name.
        seeds: The seeds it was trained with.
        uplift, cost: With 95 % interval [currency].
        roi: Net uplift per unit of cost; None where nothing was spent.
        violations: Forbidden offers that it asked for.
        validation: Score on the validation market, budget price deducted [currency].
        training: Uplift on the market that it was trained in [currency].
        gap: training - uplift.
        offer_share: Share of decisions by offer.
        effect_range: Limits of the middle 95 % of the uplift over draws of the effects; None if not computed.
    """

    agent: str
    seeds: Sequence[int]
    uplift: Interval
    cost: Interval
    roi: float | None
    violations: int
    validation: float | None
    training: float | None
    gap: float | None
    offer_share: Mapping[str, float]
    effect_range: Sequence[float] | None = None


@dataclass(frozen=True)
class CurvePoint:
    """One budget price λ, and the cost and uplift (95 % interval) per customer and week that it leads to [currency]."""

    price: float
    cost: float
    uplift: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Budget:
    """What one customer and week may cost and is expected to cost [currency], and the price λ that leads there."""

    per_customer_week_usd: float
    price: float
    cost: float
    met: bool


@dataclass(frozen=True)
class Headline:
    """What the chosen policy does in one week, for all customers of the table together.

    Attributes:
        customers: Customers in the table.
        with_offer: Those who get an offer.
        uplift: Expected net uplift per week with its 95 % interval [currency].
        cost: Expected promo and contact cost per week [currency].
        roi: Net uplift per unit of cost; None where nothing is spent.
    """

    customers: int
    with_offer: int
    uplift: Interval
    cost: Interval
    roi: float | None


@dataclass(frozen=True)
class Origin:
    """One number behind the market: learned (error: standard error) or assumed (error: sd of the prior)."""

    name: str
    value: float
    error: float
    unit: str
    origin: str
    source: str


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that the report shows.

    Attributes:
        source: One sentence on the data, as in "The history is simulated from real patterns, for education."
        quality: Rows kept and set aside, what is absent.
        customers: One row per customer: customer_id, segment (in words), weeks_since_visit, visits_per_week,
            spend_per_week_<currency>, promo_share.
        policy: Rows of `policy_by_customer` that the policy decided: at least customer_id, offer, offer_label.
        response, agents, curve: See the records; the curve is by agent.
        chosen: The agent whose policy is published.
        budget, headline: See the records.
        segments: The distilled rules.
        provenance: Every number behind the market.
        manifest: Of the published table.
        currency: Of all money, as in "USD".
        notes: Further limits and oddities of the data, one sentence each.
        sections: What further parts of the project have to show.
        aside: One sentence on the customers for whom the policy does not decide; empty where there are none.

    Raises:
        InputError: `chosen` is not among the agents, a column is missing, or headline and policy differ.
    """

    source: str
    quality: Quality
    customers: pd.DataFrame
    policy: pd.DataFrame
    response: Response
    agents: tuple[AgentScore, ...]
    curve: Mapping[str, tuple[CurvePoint, ...]]
    chosen: str
    budget: Budget
    headline: Headline
    segments: Segments
    provenance: tuple[Origin, ...]
    manifest: Mapping[str, Any]
    currency: str
    notes: tuple[str, ...]
    sections: tuple[Section, ...] = ()
    aside: str = ""

    def __post_init__(self) -> None:
        if self.chosen not in [score.agent for score in self.agents]:
            names = ", ".join(score.agent for score in self.agents)
            raise InputError(f"report: chosen agent {self.chosen!r} was not judged; expected one of {names}")
        customers = ("customer_id", "segment", "weeks_since_visit", "visits_per_week", self.spend, "promo_share")
        policy = ("customer_id", "offer", "offer_label")
        for frame, needed in ((self.customers, customers), (self.policy, policy)):
            missing = [name for name in needed if name not in frame.columns]
            if missing:
                raise InputError(f"report: column {missing[0]!r} is missing; found {', '.join(frame.columns)}")

        given = int((self.policy["offer"] != self.nothing).sum())
        if (self.headline.customers, self.headline.with_offer) != (len(self.policy), given):
            raise InputError(
                f"report: the headline counts {self.headline.with_offer} offers to {self.headline.customers} customers,"
                f" the policy {given} to {len(self.policy)}; count the policy"
            )

    @property
    def spend(self) -> str:
        """Name of the customers' column of spend per week."""
        return f"spend_per_week_{self.currency.lower()}"

    @property
    def nothing(self) -> str:
        """Name of the offer that is none."""
        return str(self.manifest["catalog"]["offers"][0]["name"])

    @property
    def score(self) -> AgentScore:
        """The chosen agent's."""
        return next(score for score in self.agents if score.agent == self.chosen)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Build from plain data under the names of the attributes; keys that the records do not know are passed over.

        `quality` is what quality.json holds, `response`, `agents` and `curve` what evaluation.json holds;
        `customers`, `policy` and `segments` are taken as they are.
        """
        read: dict[str, Any] = {
            "quality": quality_from_dict(plain["quality"]),
            "response": _response(plain["response"]),
            "agents": tuple(_score(agent) for agent in plain["agents"]),
            "curve": {agent: tuple(_pick(CurvePoint, p) for p in points) for agent, points in plain["curve"].items()},
            "budget": _pick(Budget, plain["budget"]),
            "headline": _headline(plain["headline"]),
            "provenance": tuple(_pick(Origin, parameter) for parameter in plain["provenance"]),
            "notes": tuple(plain["notes"]),
            "sections": tuple(plain.get("sections", ())),
            "aside": plain.get("aside", ""),
        }
        return cls(**{name: read[name] if name in read else plain[name] for name in (f.name for f in fields(cls))})


def _pick(record: type[Record], plain: Mapping[str, Any], **read: Any) -> Record:
    """Return the record built from the keys that it knows, with those in `read` replaced."""
    names = [f.name for f in fields(record)]  # type: ignore[arg-type]
    return record(**{**{name: plain[name] for name in names if name not in read}, **read})


def _deciles(plain: Sequence[Mapping[str, Any]]) -> tuple[Decile, ...]:
    return tuple(_pick(Decile, row) for row in plain)


def _response(plain: Mapping[str, Any]) -> Response:
    def fit(name: str) -> Fit | None:
        rows = plain[name]
        return None if rows is None else _pick(Fit, rows, deciles=_deciles(rows["deciles"]))

    return Response(fit("visit"), fit("redemption"), _deciles(plain["spend"]["deciles"]))


def _score(plain: Mapping[str, Any]) -> AgentScore:
    money = {name: _pick(Interval, plain[name]) for name in ("uplift", "cost")}
    return _pick(AgentScore, plain, **money, roi=_ratio(plain["roi"]), effect_range=plain.get("effect_range"))


def _headline(plain: Mapping[str, Any]) -> Headline:
    money = {name: _pick(Interval, plain[name]) for name in ("uplift", "cost")}
    return _pick(Headline, plain, **money, roi=_ratio(plain["roi"]))


def _ratio(plain: float | Mapping[str, float] | None) -> float | None:
    """Return a ratio that comes as a number, as an estimate with its interval, or not at all."""
    return plain["value"] if isinstance(plain, Mapping) else plain
