"""Write what shap says of a fixed function and a fixed tree: the known answers of `explaining/test_shapley.py`.

shap brings numba and LLVM (210 MB), so it has an environment of its own:

    python -m venv /tmp/shap && /tmp/shap/bin/pip install -c constraints.txt "shap==0.51.0"
    /tmp/shap/bin/python tests/evaluation/shap_answers.py > tests/evaluation/shap_answers.json
"""

import json

import numpy as np
import shap
from sklearn.tree import DecisionTreeRegressor

FEATURES = ("weeks_since_visit", "basket_usd", "promo_share", "contacts_8w", "promoted_share")
CUSTOMERS, BACKGROUND = 8, 12


def curved(x: np.ndarray) -> np.ndarray:
    """Return a function with interactions; the test has the same one in torch."""
    return np.tanh(x[:, 0] * x[:, 1]) + x[:, 2] ** 2 * (x[:, 3] > 0) - 0.5 * x[:, 4] * x[:, 0] + 0.3 * x[:, 1]


rng = np.random.default_rng(3)
points = np.round(rng.normal(size=(CUSTOMERS + BACKGROUND, len(FEATURES))), 3)
theirs, background = points[:CUSTOMERS], points[CUSTOMERS:]
masker = shap.maskers.Independent(background, max_samples=BACKGROUND)
exact = shap.explainers.Exact(curved, masker)(theirs)

learned = np.round(rng.normal(size=(300, len(FEATURES))), 3)
tree = DecisionTreeRegressor(max_leaf_nodes=9, random_state=0).fit(learned, curved(learned))
of_tree = shap.TreeExplainer(tree, background, feature_perturbation="interventional")(theirs)


def leaves(node: int, limits: dict[str, list[float | None]]) -> list[dict[str, object]]:
    """Return the leaves below a node as limits by feature and a value."""
    cart = tree.tree_
    if cart.children_left[node] < 0:
        return [{"limits": limits, "value": float(cart.value[node][0, 0])}]
    name = FEATURES[cart.feature[node]]
    low, high = limits.get(name, [None, None])
    cut = float(np.nextafter(cart.threshold[node], np.inf))  # sklearn goes left up to the threshold
    return leaves(cart.children_left[node], limits | {name: [low, cut]}) + leaves(
        cart.children_right[node], limits | {name: [cut, high]}
    )


print(
    json.dumps(
        {
            "features": FEATURES,
            "theirs": theirs.tolist(),
            "background": background.tolist(),
            "curved": exact.values.tolist(),
            "leaves": leaves(0, {}),
            "tree": of_tree.values.tolist(),
        },
        indent=1,
    )
)
