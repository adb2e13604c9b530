"""Write what rliable says of fixed scores: the known answers of `test_claims.py`.

rliable does not import beside pandas 3, so it has an environment of its own:

    python -m venv /tmp/rliable && /tmp/rliable/bin/pip install "rliable==1.2.0" "pandas<3" "numpy<2.4"
    /tmp/rliable/bin/python tests/evaluation/rliable_answers.py > tests/evaluation/rliable_answers.json
"""

import json

import numpy as np
from rliable import library, metrics

RESAMPLES = 20_000

rng = np.random.default_rng(7)
ours = np.round(rng.normal([0.2, 0.5, 0.1], [0.1, 0.3, 0.05], (10, 3)), 3)
theirs = np.round(rng.normal([0.15, 0.4, 0.12], [0.1, 0.2, 0.05], (10, 3)), 3)
theirs[0] = ours[0]  # a tie on each task
thresholds = np.linspace(-0.2, 1.2, 15)


def iqm(scores: np.ndarray) -> np.ndarray:
    return np.array([metrics.aggregate_iqm(scores)])


values, limits = library.get_interval_estimates({"ours": ours, "theirs": theirs}, iqm, reps=RESAMPLES)
better, between = library.get_interval_estimates(
    {"pair": (ours, theirs)}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=RESAMPLES
)
profiles, bands = library.create_performance_profile({"ours": ours}, thresholds, reps=RESAMPLES)
print(
    json.dumps(
        {
            "ours": ours.T.tolist(),
            "theirs": theirs.T.tolist(),
            "iqm": {name: [float(values[name][0]), *map(float, limits[name][:, 0])] for name in ("ours", "theirs")},
            "improvement": [float(better["pair"][0]), *map(float, between["pair"][:, 0])],
            "thresholds": thresholds.tolist(),
            "profile": profiles["ours"].tolist(),
            "band": bands["ours"].tolist(),
        },
        indent=1,
    )
)
