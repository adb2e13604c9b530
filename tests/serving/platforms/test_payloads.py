"""Payloads keep to the documented fields and units; whom they name, and what is left out, is said."""

import copy
import csv
import io
import json
from collections import Counter
from dataclasses import replace

import pytest

from campaigns.errors import InputError
from serving.platforms.files import notes_text
from serving.platforms.lots import read_lots
from serving.platforms.mapping import Caps, ShopMapping, Targeting
from serving.platforms.notes import Standing
from serving.platforms.registry import PLATFORMS
from serving.platforms.schemas import FOLDER, check_payloads
from tests.serving.platforms.conftest import CATALOG


def campaign_of(name, table, codes, mapping):
    campaign = PLATFORMS[name].campaign(table, codes, mapping)
    check_payloads(name, [(request.key, request.body) for request in campaign.requests])
    return campaign


def payload_of(campaign, offer):
    return next(sample.payload for sample in campaign.samples if sample.lot.offer.name == offer)


def sent_codes(name, campaign):
    """Return every code that the requests hold."""
    found = []
    for request in campaign.requests:
        body = request.body
        if name == "shopify":
            own = body["variables"]
            found += [own["basicCodeDiscount"]["code"]] if "basicCodeDiscount" in own else []
            found += [entry["code"] for entry in own.get("codes", [])]
        elif name == "woocommerce":
            found += [coupon["code"] for coupon in body["create"]]
        elif "coupon" in body:
            found.append(body["coupon"]["code"])
    return found


def test_ten_per_cent_is_written_as_each_platform_wants_it(table, table_of, codes, mapping):
    shopify = payload_of(campaign_of("shopify", table, codes, mapping), "basket_10")
    assert shopify["customerGets"]["value"] == {"percentage": 0.1}
    woo = payload_of(campaign_of("woocommerce", table, codes, mapping), "basket_10")
    assert (woo["discount_type"], woo["amount"]) == ("percent", "10")
    rule = payload_of(campaign_of("magento", table, codes, mapping), "basket_10")
    assert (rule["simple_action"], rule["discount_amount"]) == ("by_percent", 10)
    google = payload_of(campaign_of("google", table_of(everyone="basket_10"), codes, mapping), "basket_10")
    assert (google["attributes"]["couponValueType"], google["attributes"]["percentOff"]) == ("PERCENT_OFF", 10)
    assert type(google["attributes"]["percentOff"]) is int


def test_two_dollars_are_written_as_each_platform_wants_them(table, table_of, codes, mapping):
    shopify = payload_of(campaign_of("shopify", table, codes, mapping), "coupon_2")["customerGets"]["value"]
    assert shopify == {"discountAmount": {"amount": "2.00", "appliesOnEachItem": False}}
    woo = payload_of(campaign_of("woocommerce", table, codes, mapping), "coupon_2")
    assert (woo["discount_type"], woo["amount"], woo["minimum_amount"]) == ("fixed_cart", "2.00", "4.00")
    rule = payload_of(campaign_of("magento", table, codes, mapping), "coupon_2")
    assert (rule["simple_action"], rule["discount_amount"]) == ("cart_fixed", 2)
    google = payload_of(campaign_of("google", table_of(everyone="coupon_2"), codes, mapping), "coupon_2")
    assert google["attributes"]["moneyOffAmount"] == {"amountMicros": "2000000", "currencyCode": "USD"}


def test_days_begin_and_end_at_midnight_of_the_shop(table, table_of, codes, mapping):
    shopify = payload_of(campaign_of("shopify", table, codes, mapping), "coupon_2")
    assert (shopify["startsAt"], shopify["endsAt"]) == ("2018-01-01T05:00:00Z", "2018-01-29T05:00:00Z")
    woo = payload_of(campaign_of("woocommerce", table, codes, mapping), "coupon_2")
    assert woo["date_expires_gmt"] == "2018-01-29T05:00:00"
    rule = payload_of(campaign_of("magento", table, codes, mapping), "coupon_2")
    assert (rule["from_date"], rule["to_date"]) == ("2018-01-01", "2018-01-28")
    google = payload_of(campaign_of("google", table_of(everyone="coupon_2"), codes, mapping), "coupon_2")
    assert google["attributes"]["promotionEffectiveTimePeriod"]["endTime"] == "2018-01-29T05:00:00Z"


WRONG = {
    "shopify": [
        (("query",), 1),
        (("variables", "basicCodeDiscount", "customerGets", "value"), {"percentage": 10}),
        (("variables", "basicCodeDiscount", "customerGets", "value"), {"percentage": "0.1"}),
        (("variables", "basicCodeDiscount", "endsAt"), "2018-01-29"),
        (("variables", "basicCodeDiscount", "usageLimit"), 0),
        (("variables", "basicCodeDiscount", "customerSelection"), {"all": True}),
    ],
    "woocommerce": [
        (("create", 0, "amount"), 10),
        (("create", 0, "amount"), "110"),
        (("create", 0, "date_starts"), "2018-01-01"),
        (("create", 0, "discount_type"), "percentage"),
    ],
    "magento": [
        (("rule", "discount_amount"), "10"),
        (("rule", "discount_amount"), 110),
        (("rule", "website_ids"), []),
        (("rule", "coupon_type"), 2),
    ],
    "google": [
        (("promotion", "attributes", "percentOff"), 0.1),
        (("promotion", "attributes", "percentOff"), "10"),
        (("promotion", "promotionId"), "a b"),
        (("promotion", "attributes", "longTitle"), "x" * 61),
        (("promotion", "attributes", "promotionEffectiveTimePeriod"), {}),
    ],
}


@pytest.mark.parametrize(("name", "path", "value"), [(name, *wrong) for name in WRONG for wrong in WRONG[name]])
def test_a_field_or_a_unit_that_is_not_documented_is_refused(name, path, value, table, table_of, codes, mapping):
    own = table_of(everyone="basket_10") if name == "google" else table
    body = copy.deepcopy(dict(campaign_of(name, own, codes, mapping).requests[0].body))
    place = body
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(InputError, match=f"{name}: it breaks the platform's documented fields at "):
        check_payloads(name, [("it", body)])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_platform_has_a_closed_schema_with_its_source(path):
    schema = json.loads(path.read_text("utf-8"))
    assert path.stem in PLATFORMS and len(schema["$comment"]) > 60
    objects = [schema, *schema.get("$defs", {}).values()]
    assert all(own.get("additionalProperties") is False for own in objects if own.get("type") == "object")


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_offer_is_accounted_for_and_nothing_is_dropped_silently(name, table, codes, mapping, strict):
    for shop in (mapping, strict):
        campaign = campaign_of(name, table, codes, shop)
        given = Counter(table.customers["offer"])
        assert {c.offer: c.customers for c in campaign.coverage} == {o: n for o, n in given.items() if o != "none"}
        for c in campaign.coverage:
            notes = [note for note in campaign.notes if note.offer == c.offer]
            assert notes or c.standing is Standing.NATIVE, c.offer
        assert {"stacking", "targeting", "tax"} <= {note.about for note in campaign.notes if not note.offer}
        text = notes_text(PLATFORMS[name], campaign, (), codes.table)
        assert all(
            f"| {c.offer} | {c.kind.value} | {c.customers} | {c.standing.value} |" in text for c in campaign.coverage
        )
        assert all(note.text in text for note in campaign.notes)


@pytest.mark.parametrize("name", ["shopify", "woocommerce", "magento"])
def test_every_customer_of_an_offer_that_is_handed_over_has_one_code_and_it_is_sent_once(name, table, codes, mapping):
    campaign = campaign_of(name, table, codes, mapping)
    kept = {c.offer for c in campaign.coverage if c.standing is not Standing.LEFT_OUT}
    rows = list(csv.DictReader(io.StringIO(campaign.tables["codes.csv"].removeprefix("\ufeff"))))
    wanted = table.customers[table.customers["offer"].isin(kept)]
    assert sorted(row["customer_id"] for row in rows) == sorted(wanted["customer_id"])
    sent = Counter(sent_codes(name, campaign))
    assert set(sent.values()) == {1} and set(sent) == {row["code"] for row in rows}


def test_the_coupon_file_has_a_code_per_customer_and_runs_no_formula(table_of, codes):
    table = table_of()
    campaign = PLATFORMS["coupons"].campaign(table, codes, ShopMapping())
    check_payloads("coupons", [(s.lot.key, s.payload) for s in campaign.samples])
    rows = list(csv.DictReader(io.StringIO(campaign.tables["coupons.csv"].removeprefix("\ufeff"))))
    wanted = table.customers[table.customers["offer"] != "none"]
    assert sorted(row["customer_id"] for row in rows) == sorted(wanted["customer_id"])
    assert len({row["code"] for row in rows}) == len(rows)
    assert all(c.standing is Standing.NATIVE for c in campaign.coverage)
    assert not any(cell[:1] in "=+-@" for row in rows for cell in row.values() if cell)
    flash = next(row for row in rows if row["offer"] == "flash")
    assert (flash["percent_off"], flash["maximum_discount"], flash["stock_per_week"]) == ("40", "12.00", "20")


def test_percentages_without_their_cap_are_left_out_unless_the_shop_allows_them(table, codes, strict):
    assert strict.caps is Caps.LEAVE_OUT
    for name in ("shopify", "woocommerce", "magento"):
        campaign = campaign_of(name, table, codes, strict)
        left = {c.offer for c in campaign.coverage if c.standing is Standing.LEFT_OUT}
        assert {"basket_10", "category_15", "odd_12", "flash", "gift"} <= left
        assert {"spend_50", "coupon_2"}.isdisjoint(left)


def test_google_gets_only_what_everyone_gets(table, table_of, codes, mapping):
    some = campaign_of("google", table, codes, mapping)
    assert not some.requests and all(c.standing is Standing.LEFT_OUT for c in some.coverage)
    every = campaign_of("google", table_of(everyone="flash"), codes, mapping)
    assert len(every.requests) == 1
    assert every.requests[0].body["promotion"]["attributes"]["productTypeInclusion"] == ["beef"]


def test_the_stock_of_a_flash_sale_is_shared_by_its_lots_to_the_last_piece(table, codes, mapping):
    campaign = campaign_of("woocommerce", table, codes, mapping)
    lots = [lot for lot in read_lots(table) if lot.offer.name == "flash"]
    coupons = [c for r in campaign.requests for c in r.body["create"] if c["description"].startswith("flash 40 %")]
    assert len(coupons) == len(lots) == 3
    assert sum(coupon["usage_limit"] for coupon in coupons) == CATALOG.offers[-1].stock


def test_customers_are_named_to_a_platform_only_where_the_shop_wants_it(table, codes, mapping):
    def everything(name, shop):
        return json.dumps([r.body for r in campaign_of(name, table, codes, shop).requests])

    for name in ("shopify", "woocommerce", "magento"):
        text = everything(name, mapping)
        assert "@example.org" not in text and "gid://shopify/Customer" not in text
    named = replace(
        mapping,
        shopify=replace(mapping.shopify, targeting=Targeting.CUSTOMER),
        woocommerce=replace(mapping.woocommerce, targeting=Targeting.CUSTOMER),
    )
    assert "gid://shopify/Customer/0001" in everything("shopify", named)
    assert "c0001@example.org" in everything("woocommerce", named)
    notes = PLATFORMS["woocommerce"].campaign(table, codes, named).notes
    assert any("e-mail addresses of the customers leave" in note.text for note in notes)


def test_no_list_is_longer_than_a_platform_takes(table_of, codes, mapping):
    table = table_of(everyone="coupon_2")  # 300 customers
    shopify = campaign_of("shopify", table, codes, mapping)
    sizes = [len(r.body["variables"].get("codes", [])) for r in shopify.requests]
    assert sizes == [0, 250, 49]
    named = replace(mapping, shopify=replace(mapping.shopify, targeting=Targeting.CUSTOMER))
    parts = campaign_of("shopify", table, codes, named).requests
    assert [len(r.body["variables"].get("codes", [])) for r in parts] == [0, 249, 0, 49]
    woo = campaign_of("woocommerce", table, codes, mapping)
    assert [len(r.body["create"]) for r in woo.requests] == [100, 100, 100]


def test_the_same_table_and_key_give_the_same_requests(table, codes, mapping):
    for name in PLATFORMS:
        first, second = (PLATFORMS[name].campaign(table, codes, mapping) for _ in range(2))
        assert [(r.key, r.body) for r in first.requests] == [(r.key, r.body) for r in second.requests]
        assert first.tables == second.tables
        assert len({r.key for r in first.requests}) == len(first.requests)


@pytest.mark.parametrize("name", ["shopify", "woocommerce", "magento"])
def test_a_category_that_the_shop_has_not_named_is_one_line(name, table, codes, mapping):
    shop = getattr(mapping, name)
    without = {key: ids for key, ids in shop.categories.items() if key != "BEEF"}
    poor = replace(mapping, **{name: replace(shop, categories=without)})
    with pytest.raises(InputError, match=rf"{name} has no categories for 'BEEF'; add 'BEEF': \[id, ...\] under"):
        PLATFORMS[name].campaign(table, codes, poor)
