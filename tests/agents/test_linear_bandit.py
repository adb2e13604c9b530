"""The bandit by itself: regret that flattens, drift that is followed, masks, and sums that fade or go."""

import math

import pytest
import torch
from torch import Tensor

from agents.linear_bandit import BanditSettings, LinearBandit, Rule
from agents.regression import Memory, Statistics
from campaigns.errors import InputError


def linear_world(
    settings: BanditSettings, rounds: int, batch: int, drift: bool = False, d: int = 8, k: int = 6
) -> Tensor:
    """Return the expected regret of each batch; with drift, the actions' coefficients turn from one set to another."""
    generator = torch.Generator().manual_seed(4)
    truth, other = (torch.randn(k, d, generator=generator) / math.sqrt(d) for _ in range(2))
    bandit, regret = LinearBandit(k, d, settings, seed=1), []
    batches = rounds // batch
    for number in range(batches):
        share = min(1.0, max(0.0, (number / batches - 0.3) / 0.4)) if drift else 0.0
        theta = (1 - share) * truth + share * other
        x = torch.randn(batch, d, generator=generator)
        mean = x @ theta.T
        action = bandit.choose(x)
        got = mean.gather(1, action.unsqueeze(1)).squeeze(1)
        bandit.learn(x, action, got + 0.3 * torch.randn(batch, generator=generator))
        regret.append((mean.max(dim=1).values - got).sum())
    return torch.stack(regret) / batch


@pytest.mark.parametrize("rule", [Rule.THOMPSON, Rule.UCB])
def test_regret_per_round_falls_by_three_quarters_from_one_quarter_to_the_last(rule: Rule) -> None:
    regret = linear_world(BanditSettings(rule=rule), rounds=8000, batch=50)
    quarter = len(regret) // 4
    assert regret[-quarter:].mean() < 0.25 * regret[:quarter].mean()


@pytest.mark.parametrize("memory", [{"discount": 0.97}, {"window": 40}])
def test_one_that_forgets_follows_a_drift_that_a_plain_one_misses(memory: dict[str, float]) -> None:
    plain = linear_world(BanditSettings(), rounds=16_000, batch=50, drift=True)
    forgetful = linear_world(BanditSettings(**memory), rounds=16_000, batch=50, drift=True)  # type: ignore[arg-type]
    late = slice(len(plain) // 2, None)
    assert forgetful[late].mean() < 0.6 * plain[late].mean()


def test_without_a_drift_forgetting_costs() -> None:
    plain = linear_world(BanditSettings(), rounds=8000, batch=50)
    forgetful = linear_world(BanditSettings(discount=0.9), rounds=8000, batch=50)
    assert plain.sum() < forgetful.sum()


def test_forbidden_actions_are_never_chosen() -> None:
    generator = torch.Generator().manual_seed(0)
    for rule in Rule:
        bandit = LinearBandit(5, 3, BanditSettings(rule=rule))
        x, mask = torch.randn(5000, 3, generator=generator), torch.rand(5000, 5, generator=generator) < 0.4
        mask[:, 0] = True
        assert mask.gather(1, bandit.choose(x, mask).unsqueeze(1)).all()


@pytest.mark.parametrize("rule", list(Rule))
def test_a_first_batch_tries_every_action(rule: Rule) -> None:
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(0))
    taken = torch.bincount(LinearBandit(8, 3, BanditSettings(rule=rule)).choose(x), minlength=8)
    assert taken.min() > 20  # 50 each on average


def test_the_schedule_changes_when_it_learns_and_not_what() -> None:
    generator = torch.Generator().manual_seed(0)
    often, seldom = (LinearBandit(3, 4, BanditSettings(rule=Rule.GREEDY, refresh_every=n)) for n in (1, 7))
    before = seldom.posterior
    for _ in range(6):
        x, reward = torch.randn(20, 4, generator=generator), torch.randn(20, generator=generator)
        action = torch.randint(3, (20,), generator=generator)
        often.learn(x, action, reward)
        seldom.learn(x, action, reward)
    assert seldom.posterior is before
    seldom.refresh()
    torch.testing.assert_close(seldom.posterior.mean, often.posterior.mean)


def parts(n: int) -> list[Statistics]:
    generator = torch.Generator().manual_seed(2)
    found = []
    for _ in range(n):
        part = Statistics.empty(2, 3, outcomes=1)
        x = torch.randn(10, 3, generator=generator, dtype=torch.float64)
        part.add(x, torch.randint(2, (10,), generator=generator), torch.randn(10, 1, generator=generator))
        found.append(part)
    return found


def test_a_window_holds_the_last_parts_and_a_discount_weights_them() -> None:
    window, faded, all_of = (Memory(Statistics.empty(2, 3, 1), *m) for m in ((1.0, 3), (0.5, 0), (1.0, 0)))
    seen = parts(8)
    for part in seen:
        for memory in (window, faded, all_of):
            memory.add(part)
    gram = torch.stack([part.gram for part in seen])
    torch.testing.assert_close(window.total.gram, gram[-3:].sum(dim=0))
    torch.testing.assert_close(all_of.total.gram, gram.sum(dim=0))
    weights = 0.5 ** torch.arange(7, -1, -1, dtype=torch.float64)
    torch.testing.assert_close(faded.total.gram, (weights.view(-1, 1, 1, 1) * gram).sum(dim=0))


def test_weighted_decisions_are_repeated_decisions() -> None:
    generator = torch.Generator().manual_seed(3)
    x, action = torch.randn(50, 3, generator=generator).double(), torch.randint(4, (50,), generator=generator)
    outcome, times = torch.randn(50, 2, generator=generator), torch.randint(0, 4, (50,), generator=generator)
    weighted, repeated = Statistics.empty(4, 3), Statistics.empty(4, 3)
    weighted.add(x, action, outcome, times)
    repeated.add(*(column.repeat_interleave(times, dim=0) for column in (x, action, outcome)))
    for one, other in zip(vars(weighted).values(), vars(repeated).values(), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("setting", [{"ridge": 0.0}, {"discount": 0.0}, {"width": -1.0}, {"refresh_every": 0}])
def test_an_impossible_setting_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(InputError, match=rf"^bandit: .*{next(iter(setting))}.*"):
        BanditSettings(**setting)  # type: ignore[arg-type]
