"""Fit the markets that agents train and are validated in, on their own customers and weeks.

python -m experiments.fit name=demo
"""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

from campaigns.offers import Catalog
from envs.fitted import read_environment, write_environment
from envs.world import PriceRange
from experiments.config import Config
from experiments.customers import write_customers
from experiments.effects import write_effects
from experiments.feedback import FOLDER as FEEDBACK
from experiments.feedback import write_feedback
from experiments.history import PreparedHistory, category_spend, load_history, starting_states
from experiments.main import main, run_folder
from experiments.recommendation import FOLDER, write_recommender
from experiments.runs import Step, require_settings
from history.artifacts import write_json
from history.prepare import load_customers
from history.splits import Split
from simulators.fit import Fit, customer_weeks, describe_fit, fit_world
from simulators.pedigree import describe_priors
from simulators.priors import EffectPriors
from simulators.promotion import Categories
from simulators.provenance import Origin
from simulators.scenario import describe_scenario
from simulators.shocks import NO_LEVEL, Level
from simulators.worlds import MarketTerms, describe_categories


def fit_step(config: Config) -> Step:
    settings = {
        "market": asdict(config.market),
        "rules": asdict(config.rules),
        "offers": config.offers,
        "split": asdict(config.split),
        "customers": asdict(config.customers),
        "train": asdict(config.train),
        "seed": config.seed,
        "threads": config.threads,
    }
    folder = run_folder(config)
    return Step(folder / "fit", "fit", settings, {"prepare": folder / "prepare"})


def run_fit(config: Config) -> Path:
    """Fit the training and validation markets of a run, unless that is done; return the folder."""
    step = fit_step(config)
    require_settings(Step(step.inputs["prepare"], "prepare", {"split": asdict(config.split)}, {}))
    if step.is_done():
        print(f"fit: {step.folder} is up to date")
        return step.folder
    step.begin()
    history = load_history(step.inputs["prepare"], config.split)
    categories = fit_categories(history, config)
    promoter = write_recommender(step.folder / FOLDER, history, categories, config.seed)
    categories = replace(categories, promoter=promoter)
    splits, market = history.splits, config.market
    trained = fit_world(history.panel, history.targeting, splits.train, categories, market.response, config.seed)
    believed, judging = write_effects(step.folder / "effects", step.inputs["prepare"], history, trained.world, config)
    _write(step.folder, config, history, splits.train, trained, believed, splits.train.weeks)
    learned = read_environment(step.folder / "train")
    warm = write_feedback(step.folder / FEEDBACK, step.inputs["prepare"], history, learned)
    judge = fit_world(history.panel, history.targeting, splits.validation, categories, market.judge, config.seed + 1)
    first = range(splits.validation.weeks.start, splits.validation.weeks.start + 1)
    _write(step.folder, config, history, splits.validation, judge, judging, first)
    rows = customer_weeks(history.panel, splits.train)
    scenario = describe_scenario(market.population, market.season, market.clearance, market.shops)
    parameters = [*describe_fit(trained, rows, market), *describe_priors(believed), *scenario, *market.drift.describe()]
    write_json(step.folder / "provenance.json", [parameter.to_dict() for parameter in parameters])
    people = load_customers(step.inputs["prepare"])
    write_customers(step.folder / "customers", history, people, categories, config.customers, config.seed)
    step.finish()
    sizes = ", ".join(f"{len(s.customers)} {s.name}" for s in (splits.train, splits.validation, splits.test))
    count = Counter(parameter.origin for parameter in parameters)
    print(f"fit: {sizes} customers; {count[Origin.LEARNED]} parameters learned, {count[Origin.COMBINED]} from an "
          f"estimate and a prior, {count[Origin.ASSUMED]} assumed")  # fmt: skip
    print(f"fit: for bandits to begin from: {warm}")
    return step.folder


def fit_categories(history: PreparedHistory, config: Config) -> Categories:
    """Describe the categories by what the training customers bought in the training weeks."""
    events = history.panel.events
    spend = category_spend(history.panel, history.splits.train)
    return describe_categories(events.category_names, events.category_departments, spend, config.market)


def market_terms(
    config: Config, priors: EffectPriors, customers: int, shop: int, level: Level = NO_LEVEL
) -> MarketTerms:
    """Return the terms of a market to judge in, in which one cohort is `customers` of the shop's `shop` customers.

    Args:
        config: Of the run.
        priors: Of the effects.
        customers: Rows of one cohort.
        shop: Customers of the shop.
        level: What the cohort's customers lately did beyond what is predicted of them.
    """
    market = config.market
    return MarketTerms(
        catalog=Catalog.from_dict(config.offers),
        rules=config.rules,
        priors=priors,
        horizon=market.horizon,
        draws=market.draws,
        stock_share=min(customers / shop, 1.0),
        seed=config.seed,
        level=level,
        population=market.population,
        season=market.season,
        clearance=market.clearance,
        drift=market.drift.judged(),
        shops=market.shops,
    )


def prices(config: Config) -> PriceRange:
    return PriceRange(config.train.price_low, config.train.price_high, config.train.price_free)


def _write(
    folder: Path, config: Config, history: PreparedHistory, split: Split, fit: Fit, priors: EffectPriors, weeks: range
) -> None:
    shop = history.panel.events.n
    pool = starting_states(history.panel, split, weeks, config.market).state
    size = config.train.customers if split.name == "train" else pool.n
    terms = market_terms(config, priors, size, shop)
    if split.name == "train":  # its episodes begin in the weeks of drift before those that are judged
        terms = replace(terms, drift=config.market.drift)
    write_environment(folder / split.name, fit.world, terms, pool, prices(config))


if __name__ == "__main__":
    main(run_fit)
