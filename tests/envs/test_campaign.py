"""The campaign keeps Gymnasium's contract, alone and as a batch, on one dynamics."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils import seeding
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from campaigns.errors import InputError
from envs.campaign import CampaignEnv, CampaignVectorEnv
from envs.fitted import read_environment, write_environment
from envs.registration import ID
from envs.world import Episode, PriceRange, World, begin, draw_prices, draw_worlds, observe, take_step
from simulators.market import Outcome
from simulators.priors import EffectPriors
from simulators.reference import reference_pool, reference_terms, reference_world
from simulators.shopping import draw_noise
from simulators.worlds import build_market
from tests.simulators.play import LEANS

ROOT = Path(__file__).parents[2]
PROBE = """
import numpy as np
from tests.envs.test_campaign import digest_of_episodes
print(digest_of_episodes(5))
"""


def random_actions(env: CampaignVectorEnv, rng: np.random.Generator) -> Any:
    return rng.integers(env.layout.n_actions, size=env.num_envs)


def digest_of_episodes(seed: int) -> str:
    """Live through two episodes of the registered batch, and sum up every observation and reward."""
    env = gymnasium.make_vec(f"envs.registration:{ID}", num_envs=3)
    rows, _ = env.reset(seed=seed)
    rng, total = np.random.default_rng(seed), rows.astype(np.float64).sum()
    for _ in range(2 * env.unwrapped.horizon):
        rows, reward, *_ = env.step(rng.integers(5, size=3))
        total += rows.astype(np.float64).sum() + reward.astype(np.float64).sum()
    return total.hex()


def test_the_registered_environment_passes_gymnasium_s_check() -> None:
    check_env(gymnasium.make(ID).unwrapped, skip_render_check=True)


def test_the_bare_environment_passes_gymnasium_s_check(world: World) -> None:
    check_env(CampaignEnv(world), skip_render_check=True)


def test_making_many_gives_a_true_batch() -> None:
    env = gymnasium.make_vec(ID, num_envs=6)
    assert isinstance(env.unwrapped, CampaignVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    rows, info = env.reset(seed=1)
    assert env.observation_space.contains(rows)
    assert info == {}
    rows, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    assert rows.shape == (6, env.unwrapped.layout.width)
    assert reward.shape == terminated.shape == truncated.shape == (6,)
    env.close()


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="'run_folder'"):
        gymnasium.make(ID, run_folder="x")
    with pytest.raises(TypeError, match="'zeal'"):
        gymnasium.make_vec(ID, num_envs=2, zeal=1, render_mode=None)


def test_a_run_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"world.json: no such file; run the step that writes it first"):
        gymnasium.make(ID, run=str(tmp_path))


def test_stepping_before_a_reset_is_refused(world: World) -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        CampaignEnv(world).step(np.int64(0))
    with pytest.raises(gymnasium.error.ResetNeeded):
        CampaignVectorEnv(2, world).step(np.zeros(2, dtype=np.int64))


@pytest.mark.parametrize("action", [-1, 5, 10**9])
def test_an_action_outside_the_catalog_is_refused(action: int, world: World) -> None:
    env = CampaignEnv(world)
    env.reset(seed=0)
    with pytest.raises(InputError, match=rf"{action}"):
        env.step(np.int64(action))
    batch = CampaignVectorEnv(2, world)
    batch.reset(seed=0)
    with pytest.raises(InputError, match=r"expected whole numbers of shape \(2,\) in \[0, 4\]"):
        batch.step(np.array([0, action]))


@pytest.mark.parametrize("actions", [np.zeros(3, np.int64), np.zeros((2, 1), np.int64), np.zeros(0, np.int64)])
def test_actions_of_the_wrong_shape_are_refused(actions: Any, world: World) -> None:
    batch = CampaignVectorEnv(2, world)
    batch.reset(seed=0)
    with pytest.raises(InputError, match=r"of shape \(2,\)"):
        batch.step(actions)


@pytest.mark.parametrize("actions", [np.array([0.5, 1.0]), np.array([np.nan, 1.0]), np.array(["none", "coupon_1"])])
def test_actions_that_are_no_whole_numbers_are_refused(actions: Any, world: World) -> None:
    batch = CampaignVectorEnv(2, world)
    batch.reset(seed=0)
    with pytest.raises(InputError, match="expected whole numbers"):
        batch.step(actions)


def test_a_batch_of_nobody_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="num_envs is 0"):
        CampaignVectorEnv(0, world)


def test_observations_stay_in_their_space_and_episodes_end_after_the_wash_out(world: World) -> None:
    env = CampaignVectorEnv(16, world)
    rows, _ = env.reset(seed=4)
    rng = np.random.default_rng(4)
    for week in range(1, 3 * env.horizon + 1):
        assert env.observation_space.contains(rows)
        rows, reward, terminated, truncated, info = env.step(random_actions(env, rng))
        over = week % env.horizon == 0
        assert terminated.tolist() == [over] * 16
        assert not truncated.any()
        assert np.isfinite(reward).all()
        assert ("final_obs" in info) == over
        if over:
            assert all(env.single_observation_space.contains(row) for row in info["final_obs"])
            assert info["_final_obs"].all()
            assert not np.array_equal(np.stack(info["final_obs"]), rows)
            left = env.layout.feature_names.index("campaign_left")
            assert (rows[:, left] == 1.0).all()
            assert all(row[left] == 0.0 for row in info["final_obs"])


def test_the_scalar_environment_stays_in_its_space(world: World) -> None:
    env, rng = CampaignEnv(world), np.random.default_rng(4)
    for seed in range(3):
        row, _ = env.reset(seed=seed)
        terminated, weeks = False, 0
        while not terminated:
            assert env.observation_space.contains(row)
            row, reward, terminated, truncated, _ = env.step(rng.integers(5))
            assert not truncated
            assert np.isfinite(reward)
            weeks += 1
        assert weeks == world.market.horizon.weeks


def test_gymnasium_s_vector_wrappers_work_on_the_batch(world: World) -> None:
    env = DictInfoToList(RecordEpisodeStatistics(CampaignVectorEnv(3, world)))
    env.reset(seed=1)
    total = np.zeros(3)
    for _ in range(world.market.horizon.weeks):
        _, reward, done, _, info = env.step(np.array([0, 1, 2]))
        total += reward
    assert done.all()
    for i in range(3):
        assert info[i]["episode"]["l"] == world.market.horizon.weeks
        assert info[i]["episode"]["r"] == pytest.approx(total[i], abs=1e-3)
        assert {"net", "cost", "violations"} <= info[i].keys()


def as_seen(world: World, episode: Episode) -> Any:
    return observe(world, episode).numpy()


def test_the_scalar_environment_lives_the_same_weeks_as_the_batched_dynamics(world: World) -> None:
    world = replace(world, prices=PriceRange(free=0.0))
    env, actions = CampaignEnv(world), np.random.default_rng(9)
    for seed in (3, 4):
        row, _ = env.reset(seed=seed)
        luck, _ = seeding.np_random(seed)

        def generator(luck: Any = luck) -> torch.Generator:
            return torch.Generator().manual_seed(int(luck.integers(2**63)))

        episode = begin(world, 1, generator())
        assert np.array_equal(row, as_seen(world, episode)[0])
        terminated = False
        while not terminated:
            action = actions.integers(5)
            row, reward, terminated, _, info = env.step(action)
            episode, outcome, uplift = take_step(
                world, episode, torch.tensor([action]), draw_noise(1, world.pool.n_categories, generator())
            )
            assert np.array_equal(row, as_seen(world, episode)[0])
            assert reward == float(uplift - episode.price * outcome.cost)
            assert info == {"net": float(uplift), "cost": float(outcome.cost), "violations": int(outcome.violation)}


def test_the_batch_lives_the_same_weeks_as_the_dynamics_through_resets(world: World) -> None:
    env, generator = CampaignVectorEnv(4, world), torch.Generator().manual_seed(6)
    rows, _ = env.reset(seed=6)
    episode, rng = begin(world, 4, generator), np.random.default_rng(6)
    for _ in range(2 * env.horizon + 3):
        assert np.array_equal(rows, as_seen(world, episode))
        actions = random_actions(env, rng)
        rows, reward, done, _, info = env.step(actions)
        noise = draw_noise(4, world.pool.n_categories, generator)
        episode, outcome, uplift = take_step(world, episode, torch.from_numpy(actions), noise)
        assert np.array_equal(reward, (uplift - episode.price * outcome.cost).numpy())
        assert np.array_equal(info["violations"], outcome.violation.numpy())
        if done.all():
            assert np.array_equal(np.stack(info["final_obs"]), as_seen(world, episode))
            episode = begin(world, 4, generator)


def lived(env: Any, seed: int, episodes: int) -> list[Any]:
    rows, _ = env.reset(seed=seed)
    rng, seen = np.random.default_rng(seed), [rows]
    for _ in range(episodes * env.horizon):
        rows, reward, *_ = env.step(random_actions(env, rng))
        seen += [rows, reward]
    return seen


def test_the_same_seed_gives_the_same_episodes_and_another_one_others(world: World) -> None:
    first, again = lived(CampaignVectorEnv(5, world), 7, episodes=2), lived(CampaignVectorEnv(5, world), 7, episodes=2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], lived(CampaignVectorEnv(5, world), 8, episodes=1)[0])


def test_a_seed_at_construction_settles_the_first_episodes_too(world: World) -> None:
    one, same = (CampaignVectorEnv(5, world, seed=3) for _ in range(2))
    assert np.array_equal(one.reset()[0], same.reset()[0])
    assert not np.array_equal(CampaignVectorEnv(5, world).reset()[0], CampaignVectorEnv(5, world).reset()[0])


@pytest.mark.slow
def test_another_process_lives_the_same_episodes() -> None:
    done = subprocess.run([sys.executable, "-c", PROBE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest_of_episodes(5)


def test_making_an_environment_leaves_torch_s_own_random_numbers_alone(world: World) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    env = CampaignVectorEnv(2, world)
    env.reset()
    env.step(np.array([0, 1]))
    CampaignEnv(world).reset()
    assert torch.equal(torch.rand(3), expected)


def weeks_of(world: World, choose: Any, seed: int = 2) -> list[tuple[Any, Any, Any, Any]]:
    """Return (mask, actions, reward, info) of each week of an episode of eight customers."""
    env, rng = CampaignVectorEnv(8, world), np.random.default_rng(seed)
    rows, _ = env.reset(seed=seed)
    weeks = []
    for _ in range(env.horizon):
        context = env.layout.split(rows)
        actions = choose(context, rng)
        rows, reward, _, _, info = env.step(actions)
        weeks.append((context, actions, reward, info))
    return weeks


def test_the_reward_is_the_net_margin_less_the_price_of_money(world: World) -> None:
    charged = 0.0
    for context, _, reward, info in weeks_of(world, lambda context, rng: rng.integers(5, size=8)):
        np.testing.assert_allclose(reward, info["net"] - context.price * info["cost"], rtol=1e-5, atol=1e-6)
        charged += float((context.price * info["cost"]).sum())
    assert charged > 0


def test_a_forbidden_action_is_counted_and_costs_nothing(world: World) -> None:
    seen = 0
    for context, actions, _, info in weeks_of(world, lambda context, rng: rng.integers(1, 5, size=8)):
        forbidden = ~context.mask[np.arange(8), actions]
        assert np.array_equal(info["violations"], forbidden)
        live = context.features[:, list_of(world).index("live_offer")] > 0
        assert (info["cost"][forbidden & ~live] == 0).all()
        seen += int(forbidden.sum())
    assert seen > 50


def list_of(world: World) -> list[str]:
    return list(world.observer.layout(world.market).feature_names)


def test_an_allowed_action_is_never_a_violation(world: World) -> None:
    def obey(context: Any, rng: Any) -> Any:
        return np.where(context.mask, rng.random(context.mask.shape), -1.0).argmax(axis=1)

    weeks = weeks_of(world, obey)
    assert not np.concatenate([info["violations"] for *_, info in weeks]).any()
    assert sum(float(info["cost"].sum()) for *_, info in weeks) > 0


def test_asking_for_nothing_earns_and_costs_exactly_nothing(world: World) -> None:
    for _, _, reward, info in weeks_of(world, lambda context, rng: np.zeros(8, np.int64)):
        assert (reward == 0).all()
        assert (info["cost"] == 0).all()


def test_the_last_week_adds_what_the_customers_are_worth_afterwards(world: World) -> None:
    generator = torch.Generator().manual_seed(2)
    episode = begin(world, 16, generator)
    difference = []
    outcome: Outcome
    for _ in range(world.market.horizon.weeks):
        action = torch.randint(5, (16,), generator=generator)
        episode, outcome, uplift = take_step(world, episode, action, draw_noise(16, world.pool.n_categories, generator))
        difference.append((uplift - outcome.uplift).abs().max())
    assert (torch.stack(difference[:-1]) == 0).all()
    assert difference[-1] > 0


def test_budget_prices_are_free_sometimes_and_else_spread_on_a_logarithmic_scale() -> None:
    prices = PriceRange(low=0.1, high=10.0, free=0.25)
    drawn = draw_prices(prices, 40_000, torch.Generator().manual_seed(0), "cpu")
    assert float((drawn == 0).double().mean()) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 40_000) ** 0.5)
    paid = drawn[drawn > 0]
    assert float(paid.min()) >= 0.1
    assert float(paid.max()) <= 10.0
    assert float(paid.log10().mean()) == pytest.approx(0.0, abs=4 * (1 / 3) ** 0.5 / len(paid) ** 0.5)


def test_a_written_environment_comes_back_and_lives_the_same_weeks(tmp_path: Path) -> None:
    pool, prices = reference_pool(64, seed=5), PriceRange(free=0.5)
    terms = replace(reference_terms(), priors=EffectPriors(leans=LEANS))
    write_environment(tmp_path / "run" / "fit" / "train", reference_world(), terms, pool, prices)
    back = read_environment(tmp_path / "run" / "fit" / "train")
    before, after = build_market(reference_world(), terms).effects.lean, back.market.effects.lean
    assert before is not None and after is not None
    assert torch.equal(before.slope, after.slope) and torch.equal(before.centre, after.centre)
    assert back.prices == prices
    registered = gymnasium.make_vec(ID, num_envs=5, run=str(tmp_path / "run")).unwrapped
    first, again = lived(CampaignVectorEnv(5, back), 7, episodes=1), lived(registered, 7, episodes=1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("n", [4096, 50, 1])
def test_runs_of_customers_share_a_member_and_every_draw_comes_as_often(n: int, world: World) -> None:
    generator, members = torch.Generator().manual_seed(2), world.market.response.n_members
    drawn = [draw_worlds(world.market, n, generator, "cpu") for _ in range(400_000 // n if n > 1 else 9000)]
    draws, alike = torch.cat([draw for draw, _ in drawn]), drawn[0][1]
    assert n % alike == 0
    runs = draws.view(-1, alike) % members
    assert (runs == runs[:, :1]).all()
    share = torch.bincount(draws, minlength=world.market.effects.n_draws) / len(draws)
    assert (share > 0).all()
    by_member = torch.bincount(runs[:, 0], minlength=members) / len(runs)
    torch.testing.assert_close(by_member, torch.full((members,), 1.0 / members), atol=0.05, rtol=0)
