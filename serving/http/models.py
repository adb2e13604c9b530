"""What goes in and out over HTTP; unknown keys, guessed types and numbers without end are refused."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

CUSTOMER: Final = r"^[^\x00-\x1f\x7f]{1,128}$"
"""A customer's id: text without control characters."""
Customer = Annotated[str, Field(pattern=CUSTOMER, max_length=128, description="Id of a customer, as in the table.")]
DecisionId = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="As in the decision.")]
EventId = Annotated[str, Field(pattern="^[A-Za-z0-9_.:-]{8,64}$", description="Chosen by the sender, once per event.")]


def _whole(value: object) -> object:
    """Let 5.0 be 5, as JSON Schema has it; anything else is left to the check that follows."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Cents = Annotated[
    int, Field(ge=0, le=10**9, description="Hundredths of the catalog's currency."), BeforeValidator(_whole)
]
Seconds = Annotated[FiniteFloat, Field(ge=0, le=4_102_444_800, description="Seconds since 1970, UTC.")]


class Given(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Known(Given):
    """Customers by id."""

    customers: Annotated[list[Customer], Field(min_length=1, max_length=1000)]


class New(Given):
    """A customer whom the table need not know."""

    features: Annotated[
        dict[str, FiniteFloat],
        Field(max_length=64, description="Some of those that `GET /v1/policy` names; one that is left out is unknown."),
    ]
    customer: Annotated[Customer | None, Field(description="Their id, if they have one.")] = None


class Happened(Given):
    """One event."""

    event_id: EventId
    kind: Literal["impression", "click", "redemption", "purchase"]
    customer: Customer
    time: Seconds
    decision_id: DecisionId | None = None
    amount_cents: Cents | None = None


class Events(Given):
    events: Annotated[list[Happened], Field(min_length=1, max_length=1000)]


class Reserve(Given):
    """What is to be redeemed."""

    decision_id: DecisionId
    customer: Customer
    amount_cents: Annotated[
        Cents | None, Field(description="The most that it may cost; the offer's cap if left out.")
    ] = None


class Commit(Given):
    """What the redemption did cost."""

    amount_cents: Cents


class SwitchTo(Given):
    """The kill switch as it should be."""

    killed: bool
    reason: Annotated[str, Field(max_length=500, description="Needed to release it.")] = ""


class Decided(BaseModel):
    """One decision; docs/serving.md says what each field means."""

    decision_id: str
    customer: str
    version: int
    reason: Literal["match", "rule", "default", "stale", "killed"]
    offer: str
    offer_label: str
    promoted_category: str
    promoted_items: str
    valid_from: str | None
    valid_to: str | None
    arm: str
    pscore: float
    disclosure: str


class DecidedMany(BaseModel):
    decisions: list[Decided]


class Kept(BaseModel):
    """Events that are new, that were there already, and that are too old or from the future."""

    accepted: int
    duplicates: int
    aside: int


class Redeemed(BaseModel):
    redemption_id: str
    state: Literal["reserved", "committed", "released", "expired"]
    customer: str
    offer: str
    arm: str
    amount_cents: int
    expires: float


class Account(BaseModel):
    arm: str
    budget_cents: int
    held_cents: int
    spent_cents: int
    stock_left: dict[str, int]


class Policy(BaseModel):
    """The table that counts."""

    state: Literal["ready", "default", "stale", "killed", "failing"]
    version: int
    percent: int
    previous_version: int | None
    campaign: str
    valid_from: str | None
    not_after: str | None
    currency: str
    offers: list[dict[str, Any]]
    features: list[dict[str, Any]]
    accounts: list[Account]


class Switched(BaseModel):
    """The kill switch; `lasting` says whether it stays so over a restart."""

    killed: bool
    lasting: bool


class Health(BaseModel):
    status: str


class Detail(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """What went wrong; nothing of what was sent is repeated."""

    error: str
    detail: list[Detail] = []
