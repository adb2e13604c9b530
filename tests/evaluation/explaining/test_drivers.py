"""What policy and rules lean on is compared with its uncertainty, and not told where it cannot be."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.explaining.drivers import COMPARED, Agreement, Comparison, compare
from evaluation.explaining.players import PLAYERS, Player

SIZES = {"rhythm": 3.0, "value": 2.0, "promotion": 1.0, "contacts": 0.5, "taste": 0.2}


def values(
    sizes: dict[str, float], seed: int = 0, noise: float = 0.1, shape: tuple[int, int] = (200, 30)
) -> NDArray[np.float64]:
    """Return values whose groups move customers up or down by about so much, shape (n, m, players)."""
    signs = np.sign(np.random.default_rng(0).normal(size=(shape[0], 1, len(PLAYERS))))  # the same for all
    rng = np.random.default_rng(seed)
    scale = np.array([sizes.get(one.value, 0.0) for one in PLAYERS])
    spread = 1 + noise * (rng.normal(size=(shape[0], 1, len(PLAYERS))) + rng.normal(size=(*shape, len(PLAYERS))))
    return np.asarray(signs * scale * spread)


def told(policy: dict[str, float], rules: dict[str, float], noise: float = 0.1) -> Comparison:
    return compare(values(policy, 1, noise), values(rules, 2, noise), seed=3)


def test_the_same_drivers_agree() -> None:
    found = told(SIZES, SIZES)
    assert found.kind is Agreement.AGREE and found.policy_leads == found.rules_leads == ("rhythm",)
    assert found.rank is not None and found.rank.value == 1.0 and found.top == ("rhythm", "value", "promotion")
    assert found.weighted is not None and found.weighted.value == pytest.approx(1.0)
    assert found.policy["rhythm"].lo < 3.0 < found.policy["rhythm"].hi
    assert all(share.value == 1.0 for share in found.same_sign.values() if share.n)


def test_other_drivers_disagree_and_both_are_named() -> None:
    found = told(SIZES, {"promotion": 3.0, "taste": 1.0, "rhythm": 0.1})
    assert found.kind is Agreement.DISAGREE
    assert (found.policy_leads, found.rules_leads) == (("rhythm",), ("promotion",))
    assert found.top == ("rhythm", "promotion") and found.top_of == 3


def test_the_same_first_driver_and_another_order_after_it_agree_in_part() -> None:
    found = told({"rhythm": 3.0, "value": 0.1, "promotion": 0.2, "contacts": 1.0, "taste": 2.0}, SIZES)
    assert found.kind is Agreement.PARTLY and found.rank is not None and found.rank.value < 0.5


def test_rules_that_lean_on_the_first_driver_alone_agree_in_part() -> None:
    found = told(SIZES, {"rhythm": 3.0})
    assert found.kind is Agreement.PARTLY and found.policy_leads == found.rules_leads == ("rhythm",)
    assert found.shared is not None and found.shared.value == pytest.approx(3.0 / 6.7, abs=0.03)
    assert found.shared.lo < found.shared.value < found.shared.hi and found.top_of == 1


def test_drivers_whose_intervals_all_overlap_cannot_be_told() -> None:
    rng = np.random.default_rng(5)
    vague = rng.standard_t(1.5, size=(40, 6, len(PLAYERS)))
    assert compare(vague, values(SIZES, shape=(40, 6)), seed=0).kind is Agreement.UNTOLD


def test_a_policy_that_gives_everybody_the_same_leans_on_nothing() -> None:
    found = compare(values({}), values(SIZES), seed=0)
    assert found.kind is Agreement.NOTHING and found.rank is None and found.weighted is None
    assert found.policy_leads == () and found.top == () and found.same_sign["rhythm"].value is None


def test_what_binds_both_alike_is_shown_and_not_compared() -> None:
    with_mask = {**SIZES, "allowed": 50.0}
    found = told(with_mask, with_mask)
    assert "allowed" in found.policy and found.policy_leads == ("rhythm",) and "allowed" not in found.same_sign
    assert "clock" not in found.policy and Player.PRICE not in COMPARED


def test_opposite_directions_are_found() -> None:
    found = compare(values(SIZES), -values(SIZES, 2), seed=0)
    assert found.same_sign["value"].value == 0.0 and found.same_sign["value"].n == 200
    assert found.same_sign["value"].hi is not None and found.same_sign["value"].hi < 0.03


def test_drivers_that_are_close_lead_together() -> None:
    found = told({**SIZES, "value": 2.995}, {**SIZES, "value": 2.995}, noise=0.5)
    assert set(found.policy_leads) == {"rhythm", "value"} and found.kind is Agreement.AGREE


def test_intervals_of_a_driver_cover_that_of_the_whole_population() -> None:
    rng = np.random.default_rng(6)
    of_customers, of_background = rng.normal(size=(1500, 1, 1)), rng.normal(size=(1, 200, 1))
    everybody = np.repeat(3.0 + of_customers + 2.0 * of_background, len(PLAYERS), axis=2)
    known = float(np.abs(everybody.mean(axis=1))[:, 0].mean())
    inside = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        some = everybody[rng.choice(1500, 150, replace=False)][:, rng.choice(200, 30, replace=False)]
        driver = compare(some, some, seed).policy["rhythm"]
        inside.append(driver.lo <= known <= driver.hi)
    assert sum(inside) >= 26  # 95 % within binomial luck; errors of the customers alone would cover it half of the time


def test_a_first_driver_that_is_close_behind_in_one_of_them_alone_is_agreed_on_in_part() -> None:
    close = {**SIZES, "value": 2.9}
    found = told(close, {"value": 3.0, "taste": 1.0}, noise=0.5)
    assert found.policy_leads == ("rhythm", "value") and found.rules_leads == ("value",)
    turned = told({"value": 3.0, "taste": 1.0}, close, noise=0.5)
    assert turned.rules_leads == ("rhythm", "value") and found.kind is turned.kind is Agreement.PARTLY


def test_the_same_seed_says_the_same_and_plain_data_comes_of_it() -> None:
    found = told(SIZES, SIZES)
    assert found.to_dict() == told(SIZES, SIZES).to_dict()
    assert found.to_dict()["kind"] == "agree" and found.to_dict()["policy"]["value"]["lo"] > 0
