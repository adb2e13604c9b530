"""Every payload, priced as its platform documents it, is what our promo arithmetic says, or a note says why."""

import copy
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.errors import InputError
from campaigns.offers import Catalog, Offer, OfferKind, Scope
from serving.platforms.campaign import Sample
from serving.platforms.checkout.agreement import CARTS, agreements, our_discounts
from serving.platforms.checkout.cart import OTHER, Cart, Line
from serving.platforms.money import step_cents
from serving.platforms.notes import Standing
from serving.platforms.registry import PLATFORMS
from tests.serving.platforms.conftest import CATALOG, NONE, Tables

SHOPS = [name for name in PLATFORMS if name != "google"]
FREE = replace(CATALOG, max_total_discount=1.0)
"""The same offers where the share of the basket never binds."""


def priced(name, campaign, payload, cart, mapping):
    platform = PLATFORMS[name]
    return platform.discount(payload, cart, platform.categories(mapping), "USD")


@pytest.mark.parametrize("name", SHOPS)
def test_a_thousand_carts_are_priced_like_our_arithmetic(name, table, codes, mapping):
    platform = PLATFORMS[name]
    campaign = platform.campaign(table, codes, mapping)
    found = agreements(platform, campaign, CATALOG, mapping)
    kept = [c.offer for c in campaign.coverage if c.standing is not Standing.LEFT_OUT]
    assert [a.offer for a in found] == kept and len(kept) >= 4
    noted = Counter((note.offer, note.about) for note in campaign.notes)
    for a in found:
        assert a.carts == CARTS == a.equal + a.rounded + a.refused + a.exceeded
        assert not a.refused or noted[a.offer, "share of the basket"]
        assert not a.exceeded or noted[a.offer, "cap"]


@pytest.mark.parametrize("name", SHOPS)
def test_without_emulation_nothing_but_rounding_differs(name, table_of, codes, strict):
    platform = PLATFORMS[name]
    campaign = platform.campaign(table_of(FREE), codes, strict)
    found = agreements(platform, campaign, FREE, strict)
    assert found and all(a.equal + a.rounded == CARTS for a in found)


@pytest.mark.parametrize("offer", [o.name for o in CATALOG.offers[1:]])
def test_google_prices_what_everyone_gets_like_our_arithmetic(offer, table_of, codes, mapping):
    google = PLATFORMS["google"]
    campaign = google.campaign(table_of(everyone=offer), codes, mapping)
    found = agreements(google, campaign, CATALOG, mapping)
    assert len(found) == len(campaign.requests) == (offer not in ("odd_12", "coupon_beef", "spend_20_part"))


@st.composite
def catalogs(draw):
    """One offer of any kind, in a currency with no, two or three decimals, under any share of the basket."""
    kind = draw(st.sampled_from([kind for kind in OfferKind if kind is not OfferKind.NONE]))
    currency = draw(st.sampled_from(["USD", "JPY", "KWD"]))
    step = step_cents(currency)
    cents = st.integers(1, 60).map(lambda n: n * 25 * step)
    value, least = draw(cents), draw(cents)
    percent = kind in (OfferKind.DISCOUNT, OfferKind.FLASH_SALE)
    paid = kind in (OfferKind.COUPON, OfferKind.THRESHOLD)
    offer = Offer(
        "one",
        kind,
        "one",
        draw(st.sampled_from(list(Scope))),
        depth=draw(st.integers(1, 9999)) / 10_000 if percent else 0.0,
        value_cents=value if paid else 0,
        threshold_cents=value + least if kind in (OfferKind.THRESHOLD, OfferKind.GIFT) else 0,
        gift_cost_cents=value if kind is OfferKind.GIFT else 0,
        cap_cents=value + (least if percent else 0),
        stock=draw(st.integers(1, 50)) if kind is OfferKind.FLASH_SALE else None,
    )
    return Catalog(currency, draw(st.sampled_from([0.1, 0.37, 0.5, 1.0])), (NONE, offer))


@pytest.mark.parametrize("name", list(PLATFORMS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(catalog=catalogs())
def test_any_offer_in_any_currency_is_priced_alike_or_left_out(name, catalog, table_of: Tables, codes, mapping):
    platform = PLATFORMS[name]
    campaign = platform.campaign(table_of(catalog, everyone="one"), codes, mapping)
    (here,) = campaign.coverage
    found = agreements(platform, campaign, catalog, mapping, carts=60)
    assert len(found) == (here.standing is not Standing.LEFT_OUT)
    assert here.standing is Standing.NATIVE or any(note.offer == "one" for note in campaign.notes)
    if here.standing is Standing.NATIVE:
        assert all(a.refused == a.exceeded == 0 for a in found)


@pytest.mark.parametrize("name", SHOPS)
def test_known_answers(name, table_of, codes, mapping):
    campaign = PLATFORMS[name].campaign(table_of(FREE), codes, mapping)
    by_offer = {sample.lot.offer.name: sample for sample in campaign.samples}
    cart = Cart((Line(1000, 2, "BEEF"), Line(999, 1, OTHER)))  # 29.99, of it 20.00 beef
    for offer, cents in (("basket_10", 299), ("category_15", 300), ("coupon_2", 200), ("spend_50", 0), ("flash", 800)):
        payload = by_offer[offer].payload
        found = priced(name, campaign, payload, cart, mapping)
        assert abs(found - cents) <= 1, offer
    fifty = Cart((Line(5000, 1, OTHER),))
    assert priced(name, campaign, by_offer["spend_50"].payload, fifty, mapping) == 1000


def test_the_checkouts_round_as_documented(table_of, codes, mapping):
    cart = Cart((Line(5, 1, OTHER), Line(5, 1, OTHER), Line(5, 1, OTHER)))  # 10 % of each is half a cent
    exact = {"coupons": 1, "shopify": 3, "woocommerce": 1, "magento": 3}
    for name, cents in exact.items():
        campaign = PLATFORMS[name].campaign(table_of(FREE), codes, mapping)
        (sample,) = (s for s in campaign.samples if s.lot.offer.name == "basket_10")
        assert priced(name, campaign, sample.payload, cart, mapping) == cents, name


TRAPS = {
    "shopify": (("customerGets", "value", "percentage"), 10.0),
    "woocommerce": (("amount",), "0.1"),
    "magento": (("discount_amount",), 0.1),
    "coupons": (("percent_off",), "0.1"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_ten_per_cent_in_the_unit_of_another_platform_is_found_out(name, table, codes, mapping):
    platform = PLATFORMS[name]
    campaign = platform.campaign(table, codes, mapping)
    (sample,) = (s for s in campaign.samples if s.lot.offer.name == "basket_10")
    path, wrong = TRAPS[name]
    payload = copy.deepcopy(dict(sample.payload))
    place = payload
    for step in path[:-1]:
        place = place[step]
    assert place[path[-1]] != wrong
    place[path[-1]] = wrong
    sick = replace(campaign, samples=(Sample(sample.lot, payload),))
    with pytest.raises(InputError, match=r"'basket_10' takes .* our arithmetic"):
        agreements(platform, sick, CATALOG, mapping)


def test_our_side_is_the_promo_arithmetic():
    offer = CATALOG.offers[CATALOG.index("category_15")]
    cart = Cart((Line(333, 1, "BEEF"), Line(5000, 1, OTHER)))
    assert our_discounts(offer, CATALOG, "BEEF", (cart,)) == [49]
    assert Fraction(333) * 15 / 100 == Fraction("49.95")
