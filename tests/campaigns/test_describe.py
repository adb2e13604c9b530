"""Offers in numbers: every term shows, nothing is far from unit scale, and an offer between two lies between them."""

from dataclasses import replace

import numpy as np
import pytest

from campaigns.catalog import load_catalog
from campaigns.decision import ObservationLayout
from campaigns.describe import NAMES, offer_features
from campaigns.offers import Catalog, Offer, OfferKind, Scope

NONE = Offer("none", OfferKind.NONE, "no offer")
COUPON = Offer("c", OfferKind.COUPON, "coupon", value_cents=200, cap_cents=200, weeks=2, contact_cents=2)
DISCOUNT = Offer("d", OfferKind.DISCOUNT, "discount", depth=0.2, cap_cents=500)
THRESHOLD = Offer("t", OfferKind.THRESHOLD, "reward", value_cents=100, threshold_cents=2000, cap_cents=100)
GIFT = Offer("g", OfferKind.GIFT, "gift", gift_cost_cents=100, threshold_cents=2000, cap_cents=100)


def rows(*offers: Offer) -> np.ndarray:
    return np.array(offer_features(Catalog("USD", 0.5, (NONE, *offers))).rows)


@pytest.mark.parametrize("name", ["default", "clearance", "synthetic"])
def test_no_offer_is_all_zero_and_every_preset_is_near_unit_scale(name: str) -> None:
    catalog = load_catalog(f"conf/offers/{name}.yaml")
    described = offer_features(catalog)
    table = np.array(described.rows)
    assert described.names == NAMES and table.shape == (catalog.n, len(NAMES))
    assert (table[0] == 0).all() and (table[1:].any(axis=1)).all() and np.abs(table).max() < 3.0
    assert len({tuple(row) for row in described.rows}) == catalog.n


@pytest.mark.parametrize(
    ("offer", "changed", "columns"),
    [
        (DISCOUNT, {"depth": 0.3}, {"depth"}),
        (DISCOUNT, {"scope": Scope.CATEGORY}, {"category"}),
        (DISCOUNT, {"stock": 5}, {"limited"}),
        (DISCOUNT, {"min_weeks_since_visit": 4}, {"absence"}),
        (COUPON, {"value_cents": 150}, {"value"}),
        (COUPON, {"cap_cents": 300}, {"cap"}),
        (COUPON, {"weeks": 4}, {"weeks"}),
        (COUPON, {"contact_cents": 5}, {"contact"}),
        (THRESHOLD, {"threshold_cents": 3000}, {"threshold"}),
        (GIFT, {"gift_cost_cents": 50}, {"gift_cost"}),
    ],
)
def test_a_term_moves_its_own_column_alone(offer: Offer, changed: dict[str, object], columns: set[str]) -> None:
    before, after = rows(offer, replace(offer, name="other", **changed))[1:]  # type: ignore[arg-type]
    assert {name for name, moved in zip(NAMES, before != after, strict=True) if moved} == columns


def test_an_offer_between_two_others_lies_between_them() -> None:
    low, middle, high = rows(*(replace(COUPON, name=f"c{v}", value_cents=v, cap_cents=v) for v in (100, 200, 500)))[1:]
    assert (low <= middle).all() and (middle <= high).all()


def test_a_description_of_another_number_of_offers_is_refused() -> None:
    with pytest.raises(ValueError, match="2 offers are described; the layout has 3"):
        ObservationLayout(("x",), ("none", "a", "b"), offer_features(Catalog("USD", 0.5, (NONE, COUPON))))
