"""Laws of the promo arithmetic, and bills worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from campaigns.arithmetic import eligible_cents, every_promo_cents, promo_cents, total_promo_cents
from campaigns.catalog import load_catalog
from campaigns.offers import Catalog, Offer, OfferKind, Scope

DEFAULT = load_catalog(Path("conf/offers/default.yaml"))
NONE = Offer("none", OfferKind.NONE, "no offer")

amounts = st.integers(0, 10**6)
baskets = st.tuples(amounts, amounts).map(lambda pair: (max(pair), min(pair)))  # the whole, its promoted part


@st.composite
def offers(draw, name="offer"):
    """Draw any offer that a catalog accepts."""
    kind = draw(st.sampled_from([kind for kind in OfferKind if kind is not OfferKind.NONE]))
    cap = draw(st.integers(1, 10**4))
    terms = {"cap_cents": cap, "scope": draw(st.sampled_from(Scope))}
    if kind in (OfferKind.DISCOUNT, OfferKind.FLASH_SALE):
        terms |= {"depth": draw(st.integers(1, 9999)) / 10_000, "stock": draw(st.integers(1, 100))}
    if kind in (OfferKind.COUPON, OfferKind.THRESHOLD):
        terms["value_cents"] = draw(st.integers(1, cap))
    if kind is OfferKind.GIFT:
        terms["gift_cost_cents"] = draw(st.integers(1, cap))
    if kind in (OfferKind.THRESHOLD, OfferKind.GIFT):
        terms["threshold_cents"] = draw(st.integers(terms.get("value_cents", 1), 10**5))
    return Offer(name, kind, "an offer", **terms)


@st.composite
def catalogs(draw):
    rest = [draw(offers(name=f"offer_{i}")) for i in range(draw(st.integers(1, 4)))]
    return Catalog("USD", draw(st.integers(1, 10_000)) / 10_000, (NONE, *rest))


def array(*values):
    return np.array(values, dtype=np.int64)


def price(catalog, name, basket, eligible):
    promo = promo_cents(catalog.columns(), array(catalog.index(name)), array(basket), array(eligible))
    return int(promo.discount[0]), int(promo.gift_cost[0])


@pytest.mark.parametrize(
    ("name", "basket", "eligible", "bill"),
    [
        ("none", 4000, 4000, (0, 0)),
        ("discount_10", 4000, 1999, (199, 0)),  # 199.9 cents: the fraction goes to the shop
        ("discount_30", 9000, 4000, (900, 0)),  # 1200 cents, above the cap
        ("discount_30", 4000, 0, (0, 0)),
        ("coupon_2", 4000, 4000, (200, 0)),
        ("coupon_5", 800, 800, (400, 0)),  # half of the basket is the most
        ("coupon_5", 0, 0, (0, 0)),
        ("spend_50_save_10", 4999, 4999, (0, 0)),
        ("spend_50_save_10", 5000, 5000, (1000, 0)),
        ("gift", 2999, 2999, (0, 0)),
        ("gift", 3000, 3000, (0, 150)),
        ("flash_sale", 5000, 2500, (1000, 0)),
        ("flash_sale", 2500, 2500, (1000, 0)),
    ],
)
def test_the_bill_is_the_one_worked_out_by_hand(name, basket, eligible, bill):
    assert price(DEFAULT, name, basket, eligible) == bill


def test_several_offers_add_up_until_the_share_of_the_basket_is_reached():
    columns = DEFAULT.columns()
    pair = array(*(DEFAULT.index(name) for name in ("discount_20", "coupon_5", "gift")))[None, :]
    roomy = total_promo_cents(columns, pair, array(4000), array(1000, 4000, 4000)[None, :])
    tight = total_promo_cents(columns, pair, array(1000), array(1000, 1000, 1000)[None, :])
    assert (roomy.discount.tolist(), roomy.gift_cost.tolist(), roomy.cost.tolist()) == ([700], [150], [850])
    assert (tight.discount.tolist(), tight.gift_cost.tolist()) == ([500], [0])


def test_the_base_is_the_basket_or_the_promoted_category():
    columns = DEFAULT.columns()
    offer = array(DEFAULT.index("coupon_1"), DEFAULT.index("flash_sale"))
    assert eligible_cents(columns, offer, array(5000, 5000), array(700, 700)).tolist() == [5000, 700]


@given(catalogs(), baskets)
def test_a_discount_stays_within_its_cap_its_base_and_the_share_of_the_basket(catalog, amounts):
    basket, eligible = amounts
    columns = catalog.columns()
    for offer in range(catalog.n):
        promo = promo_cents(columns, array(offer), array(basket), array(eligible))
        most = min(columns.cap[offer], eligible, basket * columns.max_total_bp // 10_000)
        assert 0 <= promo.discount[0] <= most
        assert 0 <= promo.gift_cost[0] <= columns.gift_cost[offer]
        assert promo.cost[0] <= columns.cap[offer]


@given(catalogs(), st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_the_total_is_never_negative_even_for_refunds_and_bases_above_the_basket(catalog, basket, eligible):
    n = catalog.n
    columns = catalog.columns()
    promo = promo_cents(columns, np.arange(n), np.full(n, basket), np.full(n, eligible))
    assert (promo.discount >= 0).all() and (promo.discount <= max(basket, 0)).all() and (promo.gift_cost >= 0).all()


@given(catalogs(), baskets)
def test_offer_0_costs_0(catalog, amounts):
    assert price(catalog, "none", *amounts) == (0, 0)


@given(catalogs(), baskets, st.data())
def test_the_order_of_the_offers_changes_nothing_and_the_total_cap_holds(catalog, amounts, data):
    basket, category = amounts
    columns = catalog.columns()
    chosen = data.draw(st.lists(st.integers(0, catalog.n - 1), min_size=1, max_size=4))
    shuffled = data.draw(st.permutations(chosen))

    def total(order):
        row = array(*order)[None, :]
        eligible = eligible_cents(columns, row, array(basket)[:, None], array(category)[:, None])
        promo = total_promo_cents(columns, row, array(basket), eligible)
        return int(promo.discount[0]), int(promo.gift_cost[0])

    discount, _ = total(chosen)
    assert total(shuffled) == total(chosen)
    assert discount <= basket * columns.max_total_bp // 10_000
    singles = [price(catalog, catalog.names[o], basket, category if columns.scope[o] else basket)[0] for o in chosen]
    assert max(singles) <= discount <= sum(singles)


@given(baskets, st.integers(1, 9998), st.integers(1, 9999), st.integers(1, 10**5))
def test_a_deeper_discount_never_saves_less(amounts, shallow, more, cap):
    deep = min(9999, shallow + more)
    depths = {"shallow": shallow / 10_000, "deep": deep / 10_000}
    rest = [Offer(name, OfferKind.DISCOUNT, "off", depth=depth, cap_cents=cap) for name, depth in depths.items()]
    catalog = Catalog("USD", 0.7, (NONE, *rest))
    assert price(catalog, "shallow", *amounts)[0] <= price(catalog, "deep", *amounts)[0]


@given(baskets, st.integers(1, 10**4), st.integers(0, 10**4), st.integers(0, 10**4))
def test_a_coupon_of_higher_value_never_saves_less(amounts, low, more, threshold):
    values = {"low": low, "high": low + more}
    kind = OfferKind.THRESHOLD if threshold else OfferKind.COUPON
    least = threshold + low + more if threshold else 0
    rest = [
        Offer(name, kind, "off", value_cents=value, threshold_cents=least, cap_cents=low + more)
        for name, value in values.items()
    ]
    catalog = Catalog("USD", 0.7, (NONE, *rest))
    assert price(catalog, "low", *amounts)[0] <= price(catalog, "high", *amounts)[0]


@given(catalogs(), st.lists(baskets, min_size=1, max_size=5), st.data())
def test_numpy_and_torch_agree_to_the_cent(catalog, rows, data):
    columns, tensors = catalog.columns(), catalog.columns().to(torch.from_numpy)
    basket, category = (array(*column) for column in zip(*rows, strict=True))
    offers = data.draw(st.lists(st.lists(st.integers(0, catalog.n - 1), min_size=2, max_size=2), min_size=1))
    index = np.resize(np.array(offers, dtype=np.int64), (len(rows), 2))
    base = np.stack([basket, category], axis=1)
    arrays = (index, basket, base)
    ours = total_promo_cents(columns, *arrays)
    theirs = total_promo_cents(tensors, *(torch.from_numpy(a) for a in arrays))
    assert theirs.cost.dtype == torch.int64 and ours.cost.dtype == np.int64
    assert theirs.discount.tolist() == ours.discount.tolist() and theirs.gift_cost.tolist() == ours.gift_cost.tolist()
    every = every_promo_cents(columns, basket, category)
    also = every_promo_cents(tensors, torch.from_numpy(basket), torch.from_numpy(category))
    assert every.cost.tolist() == also.cost.tolist()


@given(catalogs(), st.lists(baskets, min_size=1, max_size=5))
def test_pricing_every_offer_is_pricing_each(catalog, rows):
    columns = catalog.columns()
    basket, category = (array(*column) for column in zip(*rows, strict=True))
    every = every_promo_cents(columns, basket, category)
    for offer in range(catalog.n):
        index = np.full(len(rows), offer)
        one = promo_cents(columns, index, basket, eligible_cents(columns, index, basket, category))
        assert every.discount[:, offer].tolist() == one.discount.tolist()
        assert every.gift_cost[:, offer].tolist() == one.gift_cost.tolist()


@given(catalogs(), st.lists(baskets, min_size=1, max_size=6), st.data())
def test_permuting_the_baskets_permutes_the_bills(catalog, rows, data):
    columns = catalog.columns()
    n = len(rows)
    index = np.array(data.draw(st.lists(st.integers(0, catalog.n - 1), min_size=n, max_size=n)), dtype=np.int64)
    order = data.draw(st.permutations(range(n)))
    basket, eligible = (array(*column) for column in zip(*rows, strict=True))
    straight = promo_cents(columns, index, basket, eligible).cost[order]
    assert promo_cents(columns, index[order], basket[order], eligible[order]).cost.tolist() == straight.tolist()


def test_the_arithmetic_runs_without_looking_at_a_value():
    columns = DEFAULT.columns().to(lambda column: torch.from_numpy(column).to("meta"))
    basket = torch.zeros(5, dtype=torch.int64, device="meta")
    pair = torch.zeros(5, 2, dtype=torch.int64, device="meta")
    eligible = eligible_cents(columns, basket, basket, basket)
    assert promo_cents(columns, basket, basket, eligible).cost.shape == (5,)
    assert total_promo_cents(columns, pair, basket, pair).cost.shape == (5,)
    assert every_promo_cents(columns, basket, basket).cost.shape == (5, DEFAULT.n)
