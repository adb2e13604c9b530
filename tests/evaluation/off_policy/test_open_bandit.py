"""Published figures of the Open Bandit Dataset, where logs of two policies hold the truth of one of them."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.estimate import Verdict
from evaluation.off_policy.reward_model import fit_reward
from evaluation.off_policy.rounds import Log, condense
from evaluation.off_policy.table import Estimator, Interval, estimate_all
from tests.evaluation.off_policy.open_bandit import Campaign, download, read_campaign

PUBLISHED = {
    "all": (0.00455, 0.00478, 0.0042, 1640, 19.6),
    "men": (0.00453, 0.00460, 0.0069, 2467, 10.7),
    "women": (0.00681, 0.00681, 0.0046, 1954, 12.6),
}
"""IPS, SNIPS, on-policy mean, effective rounds, largest weight."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return download(tmp_path_factory.mktemp("obp"))


def as_log(campaign: Campaign) -> tuple[Log, np.ndarray]:
    data, items = campaign.random, campaign.policy.shape[1]
    place = np.unique(data["position"], return_inverse=True)[1]
    log = Log(items, data["item_id"].to_numpy(), data["click"].to_numpy(float), data["propensity_score"].to_numpy())
    return log, campaign.policy[place]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PUBLISHED))
def test_the_published_figures_come_out(wheel: Path, name: str) -> None:
    ips, snips, truth, effective, largest = PUBLISHED[name]
    campaign = read_campaign(wheel, name)
    log, policy = as_log(campaign)
    rounds = condense(log, policy)
    found = estimate_all(rounds)
    assert found[Estimator.IPS].value == pytest.approx(ips, abs=3e-5)
    assert found[Estimator.SNIPS].value == pytest.approx(snips, abs=3e-5)
    assert rounds.coverage.effective_n == pytest.approx(effective, rel=0.01)
    assert rounds.coverage.largest_weight == pytest.approx(largest, rel=0.02)
    clicks = campaign.sampled["click"].to_numpy(float)
    assert clicks.mean() == pytest.approx(truth, abs=1e-9)
    for estimator in (Estimator.IPS, Estimator.SNIPS):
        gap = found[estimator].value - clicks.mean()
        error = np.hypot(found[estimator].error, clicks.std(ddof=1) / np.sqrt(len(clicks)))
        assert abs(gap) < 1.96 * error
        overlap = found[estimator].overlap
        assert overlap is not None and overlap.verdict is Verdict.ESTIMABLE


@pytest.mark.slow
def test_a_fold_without_a_click_does_not_stop_the_table(wheel: Path) -> None:
    campaign = read_campaign(wheel, "men", draws=10_000)
    log, policy = as_log(campaign)
    users = campaign.random.filter(like="user_feature").astype("category").apply(lambda c: c.cat.codes).to_numpy(float)
    reward = np.where(np.arange(log.n) < 2 * log.n // 3, 0.0, log.reward)
    for clicks in (log.reward, reward, np.zeros(log.n)):
        logged = Log(log.n_actions, log.action, clicks, log.pscore)
        for interval in Interval:
            found = estimate_all(condense(logged, policy, fit_reward(logged, users, 0)), interval, resamples=100)
            assert all(np.isfinite([e.value, e.lo, e.hi]).all() for e in found.values())
