"""Measure what the project promises, beside named peers in the same run; print a table and write JSON.

python -m experiments.benchmark name=benchmark
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from tqdm import tqdm

from envs.campaign import CampaignVectorEnv
from envs.fitted import read_training_world
from evaluation.response_fit import Predictions, judge_predictions, own_mean_rate
from experiments.config import Config
from experiments.fit import run_fit
from experiments.history import PreparedHistory, load_history
from experiments.main import main, run_folder
from experiments.prepare import run_prepare
from history.artifacts import write_json
from history.panel import build_panel
from history.splits import Split
from simulators.fit import FIRST_CAMPAIGN_WEEK, category_weeks, customer_weeks, targeted_campaigns
from simulators.fitting import CustomerWeeks, fit_response, mean_visit_probability
from simulators.redemption import fit_redemption

LATE_SHARE = 0.66
"""Share of the weeks before which campaigns are learned from: day 240 of 365."""
Measured = dict[str, Any]


def run_benchmark(config: Config) -> list[Measured]:
    """Measure, print and write runs/<name>/benchmark.json."""
    rows = [_panel(config)]
    run_fit(config)
    history = load_history(run_folder(config) / "prepare", config.split)
    steps: list[Callable[[], Measured]] = [
        lambda: _visits(config, history),
        lambda: _redemptions(config, history),
        lambda: _environment(config),
    ]
    if config.benchmark.demo:
        steps.append(lambda: _whole_job(config))
    rows += [step() for step in tqdm(steps, desc="measure", unit="figure", disable=None)]
    write_json(run_folder(config) / "benchmark.json", rows)
    for row in rows:
        print(f"{row['what']:<34} {row['value']}")
    return rows


def _panel(config: Config) -> Measured:
    """Time the way from the source's files to the panel."""
    fresh = deepcopy(config)
    fresh.name = f"{config.name}/panel"
    start = time.perf_counter()
    folder = run_prepare(fresh)
    taken_in = time.perf_counter() - start
    build_panel(load_history(folder, config.split).panel.events)
    seconds = time.perf_counter() - start
    run_prepare(config)
    return {"what": "source to panel [s]", "value": f"{seconds:.1f}", "seconds": seconds, "intake": taken_in}


def _visits(config: Config, history: PreparedHistory) -> Measured:
    """Next-week visit of everybody in the last fifth of the weeks, trained on everybody before."""
    weeks, first = history.splits.test.weeks, history.splits.train.weeks.start
    everybody = np.arange(history.panel.events.n)
    before = category_weeks(history.panel, Split("before", everybody, range(first, weeks.start)))
    after = customer_weeks(history.panel, Split("after", everybody, weeks))
    nobody = Split("none", everybody, weeks)
    campaigns = targeted_campaigns(history.panel, history.targeting, nobody, range(0), until=0)
    redemption = fit_redemption(campaigns, config.market.response.members, config.seed)
    model = fit_response(before, redemption, config.market.response, config.seed)
    past = (history.panel.events.baskets[:, 1 : weeks.start] > 0).astype(np.float64)
    own = judge_predictions(
        _rows(after, mean_visit_probability(model, after.features), own_mean_rate(past, len(weeks)))
    )
    peer = judge_predictions(_rows(after, _boosted(before, after, config.seed), own_mean_rate(past, len(weeks))))
    assert own is not None and peer is not None
    gain = f"{own['log_loss_gain']:.4f} [{own['log_loss_gain_lo']:.4f}, {own['log_loss_gain_hi']:.4f}]"
    value = (
        f"AUC {own['auc']:.3f} [{own['auc_lo']:.3f}, {own['auc_hi']:.3f}], slope {own['slope']:.2f}, log-loss "
        f"{own['log_loss']:.3f}, better than own mean rate by {gain}; gradient boosting {peer['auc']:.3f}, "
        f"{peer['log_loss']:.3f}"
    )
    return {"what": "next-week visit", "value": value, "ours": own, "gradient_boosting": peer}


def _rows(after: CustomerWeeks, predicted: Any, reference: NDArray[np.float64]) -> Predictions:
    outcome = (after.baskets > 0).double().numpy()
    return Predictions(after.customer.numpy(), outcome, np.asarray(predicted, dtype=np.float64), reference)


def _boosted(before: CustomerWeeks, after: CustomerWeeks, seed: int) -> NDArray[np.float64]:
    model = HistGradientBoostingClassifier(max_iter=150, learning_rate=0.05, max_leaf_nodes=15, random_state=seed)
    model.fit(before.features.numpy(), (before.baskets > 0).numpy())
    chance: NDArray[np.float64] = model.predict_proba(after.features.numpy())[:, 1]
    return chance


def _redemptions(config: Config, history: PreparedHistory) -> Measured:
    """Redemption of everybody's late campaigns, trained on everybody's earlier ones."""
    n_weeks = history.panel.n_weeks
    border = round(LATE_SHARE * n_weeks)
    everybody = Split("all", np.arange(history.panel.events.n), range(n_weeks))
    starts = range(FIRST_CAMPAIGN_WEEK, border)
    earlier = targeted_campaigns(history.panel, history.targeting, everybody, starts, until=border)
    later = targeted_campaigns(history.panel, history.targeting, everybody, range(border, n_weeks), until=n_weeks)
    model = fit_redemption(earlier, config.market.response.members, config.seed)
    visit = mean_visit_probability(read_training_world(run_folder(config)).market.response, later.features)
    base = np.full(len(later), float(earlier.redeemed.mean()))
    judged = judge_predictions(
        Predictions(later.customer.numpy(), later.redeemed.double().numpy(), model.chance(later, visit).numpy(), base)
    )
    if judged is None:
        return {"what": "redemption", "value": "not estimable: the late campaigns have one outcome only"}
    value = (
        f"AUC {judged['auc']:.3f} [{judged['auc_lo']:.3f}, {judged['auc_hi']:.3f}], slope {judged['slope']:.2f} on "
        f"{len(later)} campaigns from week {border + 1} on"
    )
    return {"what": "redemption", "value": value, "ours": judged}


def _environment(config: Config) -> Measured:
    """Customer-weeks per second of the batched environment, over Gymnasium's SyncVectorEnv of the scalar one."""
    run = str(run_folder(config))
    batched = CampaignVectorEnv(config.benchmark.customers, read_training_world(Path(run)), seed=0)
    peers = gymnasium.make_vec("envs.registration:Campaign-v0", num_envs=16, vectorization_mode="sync", run=run)
    ratios, rates = [], []
    for seed in range(config.benchmark.rounds):
        ours, theirs = _rate(batched, 42, seed), _rate(peers, 6, seed)
        ratios.append(ours / theirs)
        rates.append(ours)
    peers.close()
    ratio, rate = float(np.median(ratios)), float(np.median(rates))
    threads = torch.get_num_threads()
    value = f"{ratio:.0f}x SyncVectorEnv; {rate:,.0f} customer-weeks per CPU second, torch threads {threads}"
    return {"what": "batched environment", "value": value, "ratio": ratio, "rate": rate, "ratios": ratios}


def _rate(env: gymnasium.vector.VectorEnv[Any, Any, Any], steps: int, seed: int) -> float:
    env.reset(seed=seed)
    env.action_space.seed(seed)
    start = time.process_time()
    for _ in range(steps):
        env.step(env.action_space.sample())
    return steps * env.num_envs / (time.process_time() - start)


def _whole_job(config: Config) -> Measured:
    """Time and memory of the main job in a process of its own, from nothing."""
    command = [sys.executable, "-m", "experiments.run", f"name={config.name}/job", f"runs={config.runs}"]
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=Path(__file__).parent.parent, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    value = f"{seconds:.0f} s, largest process {peak:.2f} GiB"
    return {"what": "the whole job", "value": value, "seconds": seconds, "largest_process_gib": peak}


if __name__ == "__main__":
    main(run_benchmark)
