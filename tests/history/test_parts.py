"""Parts of a history: new customers are seen as a shop would see them, and shops divide the weeks among them."""

import numpy as np
import torch

from history.features import FEATURES, features
from history.parts import NEW_WEEKS, at_shop, newcomers_before
from tests.history.fabricated_weeks import fabricate_weeks

EVENTS = fabricate_weeks(200)


def test_a_newcomer_began_with_a_visit_at_most_four_weeks_ago() -> None:
    state, new = newcomers_before(EVENTS, 20)
    assert new.any() and not new.all()
    seen = state.weeks_seen[new]
    assert seen.min() >= 1 and seen.max() <= NEW_WEEKS
    for customer in torch.nonzero(new).squeeze(1).tolist():
        first = 20 - int(state.weeks_seen[customer])
        assert EVENTS.baskets[customer, first] > 0


def test_nothing_from_before_they_were_met_is_known() -> None:
    other = fabricate_weeks(200)
    for name in ("baskets", "spend", "category_spend", "promo_spend", "saving", "redeemed", "contacted", "exposure"):
        getattr(other, name)[:, : 20 - NEW_WEEKS] = 3.0
    (one, new), (two, again) = newcomers_before(EVENTS, 20), newcomers_before(other, 20)
    assert torch.equal(new, again)
    assert torch.equal(features(one)[new], features(two)[new])


def test_at_the_beginning_of_a_history_there_are_fewer_newcomers_and_before_it_none() -> None:
    assert not newcomers_before(EVENTS, 0)[1].any()
    state, new = newcomers_before(EVENTS, 1)
    assert (state.weeks_seen[new] == 1).all()
    assert torch.isfinite(features(state)).all() and len(FEATURES) == features(state).shape[1]


def test_shops_divide_the_weeks_and_lose_none() -> None:
    parts = [at_shop(EVENTS, shop, 3) for shop in range(3)]
    for name in ("baskets", "spend", "promo_spend", "contacted", "category_spend"):
        np.testing.assert_allclose(sum(getattr(part, name) for part in parts), getattr(EVENTS, name), rtol=1e-6)
    visits = [float((part.baskets > 0).sum()) for part in parts]
    assert max(visits) < 1.3 * min(visits)
    assert np.array_equal(at_shop(EVENTS, 1, 3).spend, parts[1].spend)
