"""An environment of RecSim at its own job: one user after the other, slates drawn at random.

It runs under the Python of `.peers/recsim`, takes its turns over standard input, and needs nothing of this project.

<python> experiments/peers/market_recsim.py long_term_satisfaction|interest_evolution
"""

import json
import sys
import time
import types
from importlib import import_module
from typing import Any

import numpy as np
import tensorflow

SECONDS = 1.5
SIZES = {"long_term_satisfaction": (32, 1), "interest_evolution": (10, 2)}
"""Documents to choose from, and how many of them a slate shows."""


def rate(env: Any, name: str, rng: np.random.Generator, seconds: float = SECONDS) -> float:
    """Return calls of `step` per second of CPU time."""
    documents, slate = SIZES[name]
    env.reset()
    steps, begin = 0, time.process_time()
    while (spent := time.process_time() - begin) < seconds:
        _, _, done, _ = env.step(rng.choice(documents, slate, replace=False))
        steps += 1
        if done:
            env.reset()
    return steps / spent


def main() -> None:
    name = sys.argv[1]
    # TensorFlow 2.16 dropped `estimator`; of RecSim only a hook that is not used here names it.
    tensorflow.estimator = types.SimpleNamespace(SessionRunHook=object)
    documents, slate = SIZES[name]
    config = {"num_candidates": documents, "slate_size": slate, "resample_documents": True, "seed": 0}
    env = import_module(f"recsim.environments.{name}").create_environment(config)
    rate(env, name, np.random.default_rng(0), 0.2)  # the first use of everything is not timed
    for line in sys.stdin:
        print(json.dumps({"rate": rate(env, name, np.random.default_rng(int(line)))}), flush=True)


if __name__ == "__main__":
    main()
