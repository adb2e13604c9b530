"""RecoGym v1 with 32 products at its own job: sessions of one user after the other, offers drawn at random.

It runs under the Python of `.peers/recogym`, takes its turns over standard input, and needs nothing of this project.
"""

import json
import logging
import sys
import time

import numpy as np
from recogym import env_1_args
from recogym.envs.reco_env_v1 import RecoEnv1

PRODUCTS = 32
SECONDS = 1.5


def rate(env: RecoEnv1, rng: np.random.Generator, seconds: float = SECONDS) -> float:
    """Return calls of `step` with a decision per second of CPU time."""
    actions = rng.integers(0, PRODUCTS, 100_000)
    steps = user = 0
    begin = time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        env.reset(user)
        user += 1
        _, _, done, _ = env.step(None)  # the user's organic session comes first
        while not done:
            _, _, done, _ = env.step(int(actions[steps % len(actions)]))
            steps += 1
    return steps / spent


def main() -> None:
    logging.disable(logging.CRITICAL)
    env = RecoEnv1()
    env.init_gym({**env_1_args, "random_seed": 42, "num_products": PRODUCTS, "sigma_omega": 0.1})
    rate(env, np.random.default_rng(0), 0.2)  # compiles what is compiled at first use, which is not timed
    for line in sys.stdin:
        print(json.dumps({"rate": rate(env, np.random.default_rng(int(line)))}), flush=True)


if __name__ == "__main__":
    main()
