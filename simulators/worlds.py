"""Worlds: a market fitted to one split's customers and weeks, and the customers who live in it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from campaigns.errors import InputError
from campaigns.offers import Catalog
from campaigns.rules import Rules
from history.artifacts import read_json, read_tensors, write_json, write_tensors
from history.features import FEATURES
from history.state import State
from simulators.drift import Drift
from simulators.fitting import ResponseConfig
from simulators.market import Horizon, Market
from simulators.observation import Observer
from simulators.priors import EffectPriors, draw_effects
from simulators.promotion import Categories
from simulators.recommender.promoter import restore_promoter
from simulators.response import Family, ResponseModel, restore_response
from simulators.scenario import Audience, Clearance, Population, Season
from simulators.shocks import NO_LEVEL, Level


@dataclass
class MarginConfig:
    """Gross margin as a share of shelf price: assumed, since no history holds cost prices."""

    default: float = 0.28
    low: float = 0.22
    high: float = 0.34
    source: str = "no source given"
    by_department: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {"default": self.default, "low": self.low, "high": self.high, **self.by_department}
        for name, value in named.items():
            if not 0.0 < value < 1.0:
                raise InputError(f"market.margin: {name} is {value}; a gross margin is a share of the price in (0, 1)")


@dataclass
class MarketConfig:
    """Everything about the markets that policies learn and are judged in."""

    response: ResponseConfig = field(default_factory=ResponseConfig)
    judge: ResponseConfig = field(default_factory=lambda: ResponseConfig(family=Family.ADDITIVE))
    effects: EffectPriors = field(default_factory=EffectPriors)
    judge_effects: EffectPriors = field(default_factory=lambda: EffectPriors(lift_scale=0.7, tiring_scale=1.3))
    margin: MarginConfig = field(default_factory=MarginConfig)
    horizon: Horizon = field(default_factory=Horizon)
    draws: int = 256  # of the effects
    audience: Audience = Audience.EVERYBODY
    population: Population = field(default_factory=Population)
    season: Season = field(default_factory=Season)
    clearance: Clearance = field(default_factory=Clearance)
    drift: Drift = field(default_factory=Drift)
    shops: int = 1  # on which each person buys, under one consent and one contact cap
    never_promote: list[str] = field(default_factory=list)
    """Parts of category names that are never promoted, whatever their taste (tobacco, alcohol, fuel)."""

    def __post_init__(self) -> None:
        if self.draws < 200:
            raise InputError(f"market.draws is {self.draws}; intervals need at least 200 draws of the effects")
        if not 1 <= self.shops <= 8:
            raise InputError(f"market.shops is {self.shops}; expected 1 to 8 shops")


@dataclass(frozen=True, eq=False)
class FittedWorld:
    """What `fit` learned on one split: enough to build its market anew."""

    response: ResponseModel
    observer: Observer
    categories: Categories


@dataclass(frozen=True)
class MarketTerms:
    """What makes a market of a fitted world: everything about it that was not fitted."""

    catalog: Catalog
    rules: Rules
    priors: EffectPriors
    horizon: Horizon
    draws: int
    stock_share: float = 1.0
    seed: int = 0
    level: Level = NO_LEVEL
    population: Population = field(default_factory=Population)
    season: Season = field(default_factory=Season)
    clearance: Clearance = field(default_factory=Clearance)
    drift: Drift = field(default_factory=Drift)
    shops: int = 1

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "catalog": self.catalog.to_dict()}

    @classmethod
    def from_dict(cls, terms: Mapping[str, Any]) -> "MarketTerms":
        return cls(
            catalog=Catalog.from_dict(terms["catalog"]),
            rules=Rules(**terms["rules"]),
            priors=EffectPriors(**terms["priors"]),
            horizon=Horizon(**terms["horizon"]),
            draws=terms["draws"],
            stock_share=terms["stock_share"],
            seed=terms["seed"],
            level=Level(**terms["level"]),
            population=Population(**terms["population"]),
            season=Season(**terms["season"]),
            clearance=Clearance(**terms["clearance"]),
            drift=Drift(**terms["drift"]),
            shops=terms["shops"],
        )


def build_market(fitted: FittedWorld, terms: MarketTerms, device: torch.device | str = "cpu") -> Market:
    """Build the market of a fitted world, on a device.

    Raises:
        InputError: the category to be cleared is not one of the shop's.
    """
    categories, cleared = clear_stock(fitted.categories, terms.clearance)
    effects = draw_effects(terms.priors, terms.draws, terms.seed)
    weeks = terms.drift.span + terms.horizon.weeks + 1  # the latest episode, and beyond it the terminal value
    path = terms.drift.paths(effects.n_draws, weeks, terms.seed)
    return Market(
        response=fitted.response.to(device),
        effects=replace(effects, path=path).to(device),
        catalog=terms.catalog,
        columns=terms.catalog.columns().to(lambda column: torch.from_numpy(column).to(device)),
        rules=terms.rules,
        categories=categories.to(device),
        horizon=terms.horizon,
        stock_share=terms.stock_share,
        level=terms.level,
        population=terms.population,
        season=terms.season,
        cleared=cleared,
        shops=terms.shops,
    )


def clear_stock(categories: Categories, clearance: Clearance) -> tuple[Categories, int | None]:
    """Return the categories with the cleared one's margin, and its index; None where nothing is cleared."""
    if not clearance.category:
        return categories, None
    names = list(categories.names)
    if clearance.category == "largest":
        index = int((categories.popularity * categories.promotable).argmax())
    elif clearance.category in names:
        index = names.index(clearance.category)
    else:
        raise InputError(
            f"market.clearance.category is {clearance.category!r}; expected 'largest' or one of {', '.join(names)}"
        )
    margin = categories.margin.clone()
    margin[index] = clearance.margin
    return replace(categories, margin=margin), index


def describe_categories(
    names: tuple[str, ...], departments: tuple[str, ...], spend: Tensor, config: MarketConfig
) -> Categories:
    """Attach margin, popularity and promotability to the categories.

    Args:
        names: One per category, the last one the rest of the assortment.
        departments: Department of each.
        spend: Spend in each over the training customers and weeks [USD], shape (k,).
        config: Margins and what is never promoted.
    """
    margin = [config.margin.by_department.get(department, config.margin.default) for department in departments]
    barred = [part.lower() for part in config.never_promote]
    promotable = [not any(part in name.lower() for part in barred) for name in names]
    promotable[-1] = False
    if not any(promotable):
        promotable[0] = True  # a shop with one category promotes that one
    return Categories(
        names=names,
        margin=torch.tensor(margin),
        popularity=(spend / spend.sum().clamp(min=1e-6)).float(),
        promotable=torch.tensor(promotable, dtype=torch.float32),
    )


def write_world(folder: Path, world: FittedWorld) -> None:
    tensors = {f"response.{name}": value for name, value in world.response.tensors().items()}
    tensors |= {"observer.mean": world.observer.mean, "observer.scale": world.observer.scale}
    tensors |= {
        "categories.margin": world.categories.margin,
        "categories.popularity": world.categories.popularity,
        "categories.promotable": world.categories.promotable,
    }
    promoter = world.categories.promoter
    if promoter is not None:
        tensors |= {f"promoter.{name}": value for name, value in promoter.tensors().items()}
    write_tensors(folder / "world.safetensors", tensors)
    described = {"family": world.response.family.value, "categories": list(world.categories.names)}
    kind = None if promoter is None else promoter.kind
    write_json(folder / "world.json", {**described, "features": list(FEATURES), "promoter": kind})


def read_world(folder: Path) -> FittedWorld:
    """Read back what `write_world` wrote.

    Raises:
        InputError: it was written for other features than this version computes.
    """
    described: Mapping[str, Any] = read_json(folder / "world.json")
    if tuple(described["features"]) != FEATURES:
        raise InputError(f"{folder / 'world.json'}: written for other features than this version has; run fit again")
    tensors = read_tensors(folder / "world.safetensors")

    def part(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    categories = part("categories.")
    kind = described.get("promoter")
    promoter = None if kind is None else restore_promoter(kind, part("promoter."))
    return FittedWorld(
        response=restore_response(Family(described["family"]), part("response.")),
        observer=Observer(**part("observer.")),
        categories=Categories(names=tuple(described["categories"]), promoter=promoter, **categories),
    )


def write_pool(path: Path, pool: State) -> None:
    """Write customers' states as safetensors."""
    write_tensors(path, {f.name: getattr(pool, f.name) for f in fields(State)})


def read_pool(path: Path) -> State:
    return State(**read_tensors(path))
