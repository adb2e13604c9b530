"""Open the test split, once: judge every trained policy in a market fitted to other customers and later weeks.

python -m experiments.evaluate name=demo
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from campaigns.decision import Policy
from campaigns.errors import InputError
from envs.fitted import read_environment
from envs.world import World
from evaluation.estimate import estimate_mean
from evaluation.response_fit import judge_groups, judge_predictions
from evaluation.rollout import Play, Result, play
from experiments import selecting
from experiments.comparison import BASELINE, agent_row, at_margins, table_of, verdict
from experiments.config import Config
from experiments.effects import judge_effects, read_priors
from experiments.fidelity import FILE, fidelity_line, measure_fidelity
from experiments.fit import fit_categories, fit_step, market_terms
from experiments.history import PreparedHistory, load_history, starting_states
from experiments.judging import JudgedCampaigns, Learned, gather_learned, judge_spend, judge_visits, predict_redemption
from experiments.logged_value import FILE as LOGGED
from experiments.logged_value import beside_market, judge_on_log, log_line
from experiments.main import choose_device, main, run_folder, set_up
from experiments.monitor import note_held_out
from experiments.recommendation import FOLDER, read_promoter
from experiments.runs import Step, require_same_inputs, require_settings
from experiments.train import Trained, read_policy
from history.artifacts import read_json, write_json
from simulators.fit import fit_world
from simulators.worlds import build_market

SEED = 20_011
CURVE_AGENTS = 4
"""How many of the best agents the profit-against-budget curve shows."""


def evaluate_step(config: Config) -> Step:
    folder = run_folder(config)
    trained = sorted(path.parent for path in folder.glob("train/*/manifest.json"))
    inputs = {f"train/{path.name}": path for path in trained}
    settings = {"evaluate": asdict(config.evaluate),
        "curve": config.budget.curve, "market": asdict(config.market),
                "seed": config.seed, "threads": config.threads}  # fmt: skip
    return Step(
        folder / "evaluate", "evaluate", settings, {"prepare": folder / "prepare", "fit": folder / "fit", **inputs}
    )


def run_evaluate(config: Config) -> dict[str, Any]:
    """Judge all trained policies of a run, unless that is done; return what is written to evaluation.json."""
    folder = run_folder(config)
    require_same_inputs(folder / "fit", "fit", {"prepare": folder / "prepare"})
    for path in folder.glob("train/*/manifest.json"):
        require_same_inputs(path.parent, "train", {"fit": folder / "fit"})
    require_settings(fit_step(config), ignored=("seed", "threads"))
    step = evaluate_step(config)
    if not any(name.startswith("train/") for name in step.inputs):
        raise InputError(f"{folder}: no agent is trained; run `python -m experiments.train` first")
    if step.is_done():
        print(f"evaluate: {step.folder} is up to date")
        return read_evaluation(folder)
    step.begin()
    history = load_history(folder / "prepare", config.split)
    train_world = read_environment(folder / "fit" / "train", choose_device(config))
    trained = load_policies(folder, train_world)
    test = held_out_play(config, history, train_world)
    agents, selection = _compare(config, trained, test, train_world)
    learned = gather_learned(config, history, train_world.market.response)
    campaigns = predict_redemption(learned, history)
    response = _response(learned, history, campaigns)
    offers = None if campaigns is None else judge_groups(campaigns.rows, campaigns.types)
    fits = {"visit": response["visit"], "offers": offers}
    fidelity = measure_fidelity(config, history, train_world, learned, fits)
    write_json(step.folder / FILE, fidelity)
    evaluation = {
        "response": response,
        "agents": agents,
        "curve": _curves(config, trained, agents, test),
        "campaign_weeks": config.market.horizon.campaign_weeks,
        "test_customers": test.start.n,
        "worlds": config.evaluate.worlds,
    }
    for row in agents:
        for one in row["by_seed"]:
            note_held_out(folder / "train" / f"{row['agent']}-{one['seed']}" / "tensorboard", one["uplift"])
    logged = judge_on_log(config, history, read_environment(folder / "fit" / "train", torch.device("cpu")), trained)
    write_json(step.folder / LOGGED, beside_market(logged, agents))
    write_json(step.folder / "effects.json", judge_effects(folder / "prepare", history, learned.response, config))
    write_json(step.folder / selecting.FILE, selection)
    write_json(step.folder / "evaluation.json", evaluation)
    step.finish()
    print(table_of(agents))
    print(verdict(agents))
    print(fidelity_line(fidelity))
    print(log_line(logged))
    return evaluation


def read_evaluation(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = read_json(folder / "evaluate" / "evaluation.json")
    return result


def load_policies(folder: Path, world: World) -> dict[str, list[Trained]]:
    """Read every policy of a run whose training was finished, by agent, seeds ascending."""
    layout = world.observer.layout(world.market)
    grouped: dict[str, list[Trained]] = defaultdict(list)
    for path in sorted(folder.glob("train/*/manifest.json")):
        trained = read_policy(path.parent, layout)
        grouped[trained.agent].append(trained)
    return {agent: sorted(group, key=lambda t: t.seed) for agent, group in grouped.items()}


def held_out_play(config: Config, history: PreparedHistory, seen: World) -> Play:
    """Fit the judging market to the test customers and their weeks, and open it at the first of these."""
    split = history.splits.test
    promoter = read_promoter(run_folder(config) / "fit" / FOLDER)
    categories = replace(fit_categories(history, config), promoter=promoter)
    fitted = fit_world(history.panel, history.targeting, split, categories, config.market.judge, config.seed + 2).world
    device = choose_device(config)
    first = range(split.weeks.start, split.weeks.start + 1)
    start = starting_states(history.panel, split, first, config.market).state.to(device)
    terms = market_terms(config, read_priors(run_folder(config), judging=True), start.n, history.panel.events.n)
    return Play(build_market(fitted, terms, device), seen.observer.to(device), start, config.evaluate.worlds, SEED)


def _compare(
    config: Config, trained: dict[str, list[Trained]], test: Play, train_world: World
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Play every policy on the test market and where it was trained; return agents, best first, and the choice."""
    weeks = config.market.horizon.campaign_weeks
    at_home = _training_play(train_world, test)
    policies = [one.policy for group in trained.values() for one in group]
    away = _play_all(config, [(policy, 0.0, test) for policy in policies], "judge agents")
    home = _play_all(config, [(policy, 0.0, at_home) for policy in policies], "look for optimism")
    rows, first = [], 0
    held_out: dict[str, NDArray[np.float64]] = {}
    learned_in: dict[str, NDArray[np.float64]] = {}
    for agent, group in trained.items():
        part = slice(first, first + len(group))
        held_out[agent], learned_in[agent] = (
            np.stack([result.uplift for result in results[part]]) / weeks for results in (away, home)
        )
        row = agent_row(agent, group, away[part], float(learned_in[agent].mean()), weeks, test)
        rows.append({**row, "at_margin": at_margins(config.market.margin, row)})
        first += len(group)
    for row in rows if BASELINE in trained else []:
        over = held_out[row["agent"]].mean(axis=0) - held_out[BASELINE].mean(axis=0)
        row["over_baseline"] = estimate_mean(over).to_dict()
    validation = {row["agent"]: row["validation"] for row in rows}
    chosen = selecting.judge_selection(validation, learned_in, held_out, BASELINE)
    return sorted(rows, key=lambda row: -row["uplift"]["value"]), chosen


def _play_all(config: Config, jobs: Sequence[tuple[Policy[Tensor], float, Play]], label: str) -> list[Result]:
    """Play many policies, side by side on the CPU; each under luck of its own that all share, so order is nothing."""
    on_cpu = choose_device(config).type == "cpu"
    todo = (delayed(_play_one)(config, *job) for job in jobs)
    results = Parallel(n_jobs=config.run.jobs if on_cpu else 1, return_as="generator")(todo)
    return list(tqdm(results, desc=label, total=len(jobs), unit="policy", disable=None))


def _play_one(config: Config, policy: Policy[Tensor], price: float, where: Play) -> Result:
    set_up(config)
    return play(policy, price, where)


def _training_play(world: World, test: Play) -> Play:
    """Return the training market with as many of its own customers, as they stood before its last week.

    Where the response drifts, the campaign begins in the same week of the drift as the judged one does.
    """
    n, market = test.start.n, world.market
    if market.effects.path is not None:
        last_weeks = market.effects.path[:, -(market.horizon.weeks + 1) :]
        market = replace(market, effects=replace(market.effects, path=last_weeks))
    last = world.pool.n - min(n, world.pool.n)
    start = world.pool.take(torch.arange(last, world.pool.n, device=world.pool.weeks_seen.device))
    return Play(market, world.observer, start, max(test.worlds // 5, 2), SEED)


def _curves(
    config: Config, trained: dict[str, list[Trained]], agents: list[dict[str, Any]], test: Play
) -> dict[str, list[dict[str, float]]]:
    """Return uplift against cost over budget prices, for the best agents that spend anything."""
    spending = [row["agent"] for row in agents if row["cost"]["value"] > 0][:CURVE_AGENTS]
    where = replace(test, worlds=config.evaluate.curve_worlds, seed=SEED + 1)
    points = [(agent, price) for agent in spending for price in config.budget.curve]
    jobs = [(one.policy, price, where) for agent, price in points for one in trained[agent]]
    results = _play_all(config, jobs, "profit against budget")
    curves: dict[str, list[dict[str, float]]] = {agent: [] for agent in spending}
    for agent, price in points:
        seeds, results = results[: len(trained[agent])], results[len(trained[agent]) :]
        curves[agent].append(_curve_point(seeds, price, config.market.horizon.campaign_weeks))
    return curves


def _curve_point(results: list[Result], price: float, weeks: int) -> dict[str, float]:
    """Return cost and uplift per customer-week at one budget price, with the interval of the uplift."""
    uplift = estimate_mean(np.stack([r.uplift for r in results]) / weeks)
    cost = estimate_mean(np.stack([r.cost for r in results]) / weeks)
    return {
        "price": price,
        "cost": cost.value,
        "cost_lo": cost.lo,
        "cost_hi": cost.hi,
        "uplift": uplift.value,
        "lo": uplift.lo,
        "hi": uplift.hi,
    }


def _response(learned: Learned, history: PreparedHistory, campaigns: JudgedCampaigns | None) -> dict[str, Any]:
    """Judge the training market's response model on the test customers' later weeks."""
    return {
        "visit": judge_visits(learned, history),
        "redemption": None if campaigns is None else _redemption(campaigns),
        "spend": {"deciles": judge_spend(learned.response, history.panel, history.splits.test)},
    }


def _redemption(campaigns: JudgedCampaigns) -> dict[str, Any] | None:
    """Judge predicted redemptions overall and within each type of campaign."""
    judged = judge_predictions(campaigns.rows)
    if judged is None:
        return None
    types = np.asarray(campaigns.types)
    by_type = {str(name): judge_predictions(campaigns.rows.where(types == name)) for name in np.unique(types)}
    return {**judged, "by_type": by_type, "censored": campaigns.censored}


if __name__ == "__main__":
    main(run_evaluate)
