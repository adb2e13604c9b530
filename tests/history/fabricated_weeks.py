"""Weekly events of customers who shop at their own pace, some of them never, with contacts and redemptions."""

import numpy as np

from history.events import WeeklyEvents

CUSTOMERS, WEEKS = 60, 53
CATEGORIES = ("bread", "milk", "soap", "tea", "other")


def fabricate_weeks(n: int = CUSTOMERS, weeks: int = WEEKS, seed: int = 3) -> WeeklyEvents:
    """Return n customers' weeks; the first customer never comes, the second comes once and is never heard of again."""
    rng = np.random.default_rng(seed)
    visited = rng.random((n, weeks)) < rng.beta(1.0, 1.5, (n, 1))
    visited[0] = False
    visited[1] = np.arange(weeks) == 1
    baskets = visited * (1 + rng.poisson(0.6, (n, weeks)))
    spend = baskets * rng.lognormal(3.0, 0.8, (n, weeks))
    taste = rng.dirichlet(np.full(len(CATEGORIES), 0.5), (n, weeks))
    contacted = rng.random((n, weeks)) < 0.15
    contacted[0] = False
    redeemed = visited * contacted * rng.poisson(0.7, (n, weeks))

    def floats(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32)

    return WeeklyEvents(
        customer_ids=tuple(f"c{i:03d}" for i in range(n)),
        weeks=np.arange(1, weeks + 1, dtype=np.int64),
        baskets=floats(baskets),
        spend=floats(spend),
        promo_spend=floats(spend * rng.random((n, weeks))),
        saving=floats(redeemed * rng.uniform(0.25, 5.0, (n, weeks))),
        redeemed=floats(redeemed),
        contacted=floats(contacted),
        exposure=floats(rng.random((n, weeks))),
        category_spend=floats(spend[:, :, None] * taste),
        category_names=CATEGORIES,
        category_departments=("food", "food", "home", "food", ""),
    )
