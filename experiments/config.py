"""The whole configuration as typed records, and their registration as Hydra schemas."""

from dataclasses import dataclass, field
from enum import Enum
from re import fullmatch
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from agents.registry import AGENTS
from campaigns.errors import InputError
from campaigns.rules import Rules
from evaluation.budget import BudgetMode
from evaluation.fairness.settings import FairnessConfig
from evaluation.warrant import WarrantConfig
from experiments.abtest.settings import AbConfig
from experiments.publishing import PublishConfig
from experiments.scoring.settings import ScoreConfig
from experiments.serving import ServeConfig
from history.sources import CompleteJourney, Tables
from history.splits import SplitConfig
from serving.arms import ArmsConfig
from simulators.logged_rounds import MOST_WEEKS
from simulators.profiles.grouping import CustomersConfig
from simulators.synthetic.source import Synthetic
from simulators.worlds import MarketConfig


class Device(Enum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass
class PrepareConfig:
    """What the intake does with the tables."""

    max_rejected_share: float = 0.02  # of a table's rows; above it the run stops
    categories: int = 24  # beside the rest of the assortment

    def __post_init__(self) -> None:
        if not 0 <= self.max_rejected_share <= 1:
            raise InputError(f"prepare.max_rejected_share is {self.max_rejected_share}; expected a share in [0, 1]")
        if not 1 <= self.categories <= 200:
            raise InputError(f"prepare.categories is {self.categories}; expected 1 to 200")


@dataclass
class BudgetConfig:
    """What the campaign may cost."""

    name: str = ""  # the table and report of a named budget lie beside the others: policy-<name>/, report-<name>.html
    per_customer_week: float = 0.08  # promo and contact cost [currency]
    mode: BudgetMode = BudgetMode.RISK  # what the budget promises
    campaigns: int = 24  # simulated to tell what either mode makes of the budget
    curve: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
    """Budget prices λ at which the profit-against-budget curve is drawn."""

    def __post_init__(self) -> None:
        if not fullmatch("[A-Za-z0-9_.-]*", self.name):
            raise InputError(f"budget.name is {self.name!r}; expected letters, digits, dots, dashes, underscores")
        if not self.per_customer_week > 0:
            raise InputError(f"budget.per_customer_week is {self.per_customer_week}; expected more than 0")
        if self.campaigns < 2:
            raise InputError(f"budget.campaigns is {self.campaigns}; expected at least 2")
        if not self.curve or min(self.curve) < 0 or sorted(set(self.curve)) != list(self.curve):
            raise InputError(f"budget.curve is {self.curve}; expected rising prices, none below 0")


@dataclass
class TrainConfig:
    """The world that agents learn in."""

    customers: int = 2048  # in parallel
    price_low: float = 0.1  # budget prices drawn in training
    price_high: float = 16.0
    price_free: float = 0.15  # share of episodes without a price

    def __post_init__(self) -> None:
        if self.customers < 1 or not 0 < self.price_low < self.price_high or not 0 <= self.price_free <= 1:
            raise InputError(
                f"train: customers {self.customers}, prices {self.price_low} to {self.price_high}, free "
                f"{self.price_free}; expected at least 1, rising prices above 0, and a share"
            )


@dataclass
class EvaluateConfig:
    """How policies are judged."""

    worlds: int = 50  # copies of the test customers, each under its own draw of the effects
    curve_worlds: int = 8  # the same for each point of the profit-against-budget curve
    validation_worlds: int = 4  # the same for each validation while an agent learns
    validation_prices: list[float] = field(default_factory=lambda: [0.0, 0.5, 2.0])
    fidelity_runs: int = 20
    log_weeks: int = 4  # from a logged decision on, its own included, that an off-policy estimate credits it with

    def __post_init__(self) -> None:
        for name in ("worlds", "curve_worlds", "validation_worlds", "fidelity_runs"):
            if getattr(self, name) < 2:
                raise InputError(f"evaluate.{name} is {getattr(self, name)}; expected at least 2")
        if not 1 <= self.log_weeks <= MOST_WEEKS:
            raise InputError(f"evaluate.log_weeks is {self.log_weeks}; expected 1 to {MOST_WEEKS}")


@dataclass
class ExportConfig:
    """How the policy table is written."""

    agent: str = "auto"  # the best on validation, or the name of a trained agent
    draws: int = 200  # of the effects behind each customer's interval
    rules: int = 32  # most leaves of the readable tree
    override_fidelity: str = ""
    """Why a policy is published although its market does not behave like the customers; kept in its manifest."""
    arms: ArmsConfig = field(default_factory=ArmsConfig)  # who is compared with whom
    fairness: FairnessConfig = field(default_factory=FairnessConfig)  # what decisions are held against
    owner: str = "whoever ran the export"  # answers for the policy; stands in its model card

    def __post_init__(self) -> None:
        if self.draws < 200:
            raise InputError(f"export.draws is {self.draws}; an interval shown to people needs at least 200 draws")
        if not 2 <= self.rules <= 32:
            raise InputError(f"export.rules is {self.rules}; expected 2 to 32 leaves")
        if not self.owner.strip():
            raise InputError("export.owner is empty; a table without somebody who answers for it is not publishable")


class PlatformName(Enum):
    """Where a campaign goes."""

    COUPONS = "coupons"
    SHOPIFY = "shopify"
    WOOCOMMERCE = "woocommerce"
    MAGENTO = "magento"
    GOOGLE = "google"


@dataclass
class HandOverConfig:
    """How a campaign is handed over to a shop platform."""

    platform: PlatformName = PlatformName.COUPONS
    mapping: str = ""  # YAML file on what only the shop knows; the coupon file needs none
    send: bool = False  # also send it, with credentials from the environment


@dataclass
class RunConfig:
    """What `run` trains: the ladder of agents, learning ones with several seeds."""

    agents: list[str] = field(
        default_factory=lambda: [
            "no_offer",
            "random",
            "business_as_usual",
            "best_single",
            "greedy",
            "knapsack",
            "knapsack_ahead",
            "lin_ts",
            "bootstrap",
            "ppo",
        ]
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1])
    jobs: int = 2  # processes that train at the same time

    def __post_init__(self) -> None:
        unknown = [name for name in self.agents if name not in AGENTS]
        if unknown:
            raise InputError(f"run.agents has {unknown[0]!r}; expected some of {', '.join(AGENTS)}")
        if not self.seeds or self.jobs < 1:
            raise InputError(f"run: seeds {self.seeds}, jobs {self.jobs}; expected at least one of each")


@dataclass
class TuneConfig:
    """A search over the chosen agent's settings with Optuna, kept in the run's folder."""

    trials: int = 10  # in total, earlier ones included
    jobs: int = 1  # processes that train at the same time
    prune: bool = True  # end a trial whose best validation score so far lies below the median of the others'
    startup: int = 5  # trials before anything is pruned, and before the sampler learns from earlier ones
    warmup: int = 0  # customer-weeks of a trial before it may be pruned
    space: dict[str, Any] = field(default_factory=dict)
    """Ranges by setting: `+tune.space={learning_rate: {low: 1e-4, high: 1e-2, log: true}, epochs: {choices: [2]}}`."""

    def __post_init__(self) -> None:
        if self.trials < 1 or self.jobs < 1:
            raise InputError(f"tune: trials {self.trials}, jobs {self.jobs}; expected at least 1 of each")
        if self.startup < 1 or self.warmup < 0:
            raise InputError(f"tune: startup {self.startup}, warmup {self.warmup}; expected at least 1 and 0")


class BenchmarkSection(Enum):
    PANEL = "panel"
    PREDICTIONS = "predictions"
    MARKET = "market"
    PPO = "ppo"
    SCALE = "scale"
    BANDITS = "bandits"
    SERVING = "serving"
    OFF_POLICY = "off_policy"
    JOB = "job"  # the whole job anew, which takes as long as it takes


@dataclass
class BenchmarkConfig:
    """What `benchmark` measures."""

    sections: list[BenchmarkSection] = field(
        default_factory=lambda: [section for section in BenchmarkSection if section is not BenchmarkSection.JOB]
    )
    rounds: int = 5  # interleaved, per speed ratio
    customers: int = 4096  # in the batched environment
    many: int = 1_000_000  # customers of the figures at scale
    regret_seeds: int = 0  # of the bandits' regret, several minutes each
    peers: str = ".peers"  # where `make peers` put their environments

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.customers < 64 or self.many < 64 or self.regret_seeds < 0:
            raise InputError(
                f"benchmark: rounds {self.rounds}, customers {self.customers}, many {self.many}, regret_seeds "
                f"{self.regret_seeds}; expected at least 1, 64, 64 and 0"
            )


@dataclass
class RecoveryConfig:
    """How much is tried in shops whose truth is known."""

    truths: int = 500  # small logs whose effects are estimated
    customers: int = 600  # of each of these logs
    weeks: int = 40
    sizes: list[int] = field(default_factory=lambda: [2_500, 25_000, 250_000])
    """Customers of the shops in which policies are scored."""
    policies: list[int] = field(default_factory=lambda: [10, 3, 1])
    """Shops of each size."""
    history_weeks: int = 40  # of each of these shops
    lucks: int = 6  # over which the worth of an offer is the mean
    budget: float = 0.1  # per customer [currency]
    heterogeneity: float = 0.3  # of what customers answer, in the shops in which policies are scored

    def __post_init__(self) -> None:
        if self.truths < 0 or self.customers < 50 or self.lucks < 1 or not self.budget > 0:
            raise InputError(
                f"recovery: truths {self.truths}, customers {self.customers}, lucks {self.lucks}, budget "
                f"{self.budget}; expected at least 0, 50, 1, and more than 0"
            )
        if len(self.sizes) != len(self.policies):
            raise InputError(f"recovery: sizes {self.sizes} and policies {self.policies} must be as many")


@dataclass
class OffPolicyConfig:
    """How many logs with known truth off-policy estimators are tried on."""

    logs: int = 1000  # of each size
    sizes: list[int] = field(default_factory=lambda: [1_000, 10_000])  # rounds of a log
    resamples: int = 400  # of each bootstrap

    def __post_init__(self) -> None:
        if self.logs < 1 or self.resamples < 100 or min(self.sizes, default=0) < 200:
            raise InputError(
                f"off_policy: logs {self.logs}, sizes {self.sizes}, resamples {self.resamples}; expected at least 1, "
                "200 and 100"
            )


@dataclass
class DelaysConfig:
    """Synthetic shops in which offers have consequences later, and how agents are tried in them."""

    strengths: dict[str, dict[str, float]] = MISSING
    """By name, what the true effects (`market.effects`) are besides those that all the shops share."""
    effects: dict[str, float] = MISSING
    """True effects of all of them."""
    agents: list[str] = field(default_factory=lambda: ["knapsack", "knapsack_ahead", "lin_ts", "ppo"])
    """Those that are tried; knapsack, which the others are held against, is always one of them."""
    settings: dict[str, dict[str, Any]] = MISSING
    """Of agents, by name, where they differ from their defaults."""
    seeds: int = 10  # of each agent
    customers: list[int] = field(default_factory=lambda: [1500, 300, 400])
    """That agents learn from, that choose their weights, and that all are judged on."""
    lives: int = 16  # of each judged customer
    lucks: int = 16  # over which a timetable's worth is the mean while it is searched for

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.lives < 1 or self.lucks < 1 or len(self.customers) != 3 or min(self.customers) < 10:
            raise InputError(
                f"delays: seeds {self.seeds}, customers {self.customers}, lives {self.lives}, lucks {self.lucks}; "
                "expected at least 1, three numbers of at least 10, 1 and 1"
            )
        unknown = [name for name in (*self.agents, *self.settings) if name not in AGENTS]
        if unknown or "knapsack" not in self.agents:
            raise InputError(f"delays.agents is {self.agents}; expected knapsack and some of {', '.join(AGENTS)}")


@dataclass
class Config:
    """All of it."""

    name: str = "demo"
    runs: str = "runs"
    seed: int = 0
    threads: int = 1  # of torch, per process; part of what "same bytes" means
    device: Device = Device.AUTO
    source: Any = MISSING
    offers: Any = MISSING
    agent: Any = MISSING
    rules: Rules = field(default_factory=Rules)
    split: SplitConfig = field(default_factory=SplitConfig)
    market: MarketConfig = field(default_factory=MarketConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    prepare: PrepareConfig = field(default_factory=PrepareConfig)
    customers: CustomersConfig = field(default_factory=CustomersConfig)
    warrant: WarrantConfig = field(default_factory=WarrantConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    hand_over: HandOverConfig = field(default_factory=HandOverConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)
    score: ScoreConfig = field(default_factory=ScoreConfig)
    run: RunConfig = field(default_factory=RunConfig)
    tune: TuneConfig = field(default_factory=TuneConfig)
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    recovery: RecoveryConfig = field(default_factory=RecoveryConfig)
    delays: Any = MISSING
    off_policy: OffPolicyConfig = field(default_factory=OffPolicyConfig)
    ab: AbConfig = field(default_factory=AbConfig)

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise InputError(f"threads is {self.threads}; expected at least 1")


def register_schemas() -> None:
    """Make every record known to Hydra, so that a mistyped key or value is refused with its name."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config, replace=True)
    sources = {"complete_journey": CompleteJourney, "tables": Tables, "synthetic": Synthetic}
    for group, records in (("source", sources), ("agent", AGENTS)):
        for name, record in records.items():
            store.store(group=group, name=f"{name}_schema", node=record, replace=True)
    for group, record in (("market", MarketConfig), ("budget", BudgetConfig), ("delays", DelaysConfig)):
        store.store(group=group, name=f"{group}_schema", node=record, replace=True)
