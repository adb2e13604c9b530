"""The catalog in YAML: the default as the issue asks for it, and one clear line for every mistake."""

import re
from pathlib import Path

import pytest
import yaml

from campaigns.catalog import load_catalog
from campaigns.errors import InputError
from campaigns.offers import Catalog, OfferKind, Scope

DEFAULT = Path("conf/offers/default.yaml")


def test_the_default_catalog_holds_what_was_asked_for():
    catalog = load_catalog(DEFAULT)
    assert catalog.names == (
        "none",
        "discount_10",
        "discount_20",
        "discount_30",
        "coupon_1",
        "coupon_2",
        "coupon_5",
        "spend_50_save_10",
        "gift",
        "flash_sale",
    )
    assert [o.depth for o in catalog.offers if o.kind is OfferKind.DISCOUNT] == [0.1, 0.2, 0.3]
    assert [(o.value_cents, o.weeks) for o in catalog.offers if o.kind is OfferKind.COUPON] == [
        (100, 4),
        (200, 4),
        (500, 4),
    ]
    spend, gift, flash = catalog.offers[-3:]
    assert (spend.threshold_cents, spend.value_cents, spend.weeks) == (5000, 1000, 2)
    assert (gift.threshold_cents, gift.gift_cost_cents, gift.weeks) == (3000, 150, 2)
    assert (flash.depth, flash.scope, flash.weeks, flash.stock) == (0.4, Scope.CATEGORY, 1, 200)


def test_columns_hold_the_terms_as_whole_numbers():
    catalog = load_catalog(DEFAULT)
    columns = catalog.columns()
    row = catalog.index("flash_sale")
    assert (columns.kind[row], columns.scope[row], columns.depth_bp[row]) == (5, 1, 4000)
    assert (columns.cap[row], columns.stock[row], columns.stock[0], columns.max_total_bp) == (1200, 200, -1, 5000)


def test_a_catalog_survives_its_own_plain_data_and_yaml():
    catalog = load_catalog(DEFAULT)
    assert Catalog.from_dict(catalog.to_dict()) == catalog
    assert Catalog.from_dict(yaml.safe_load(yaml.safe_dump(catalog.to_dict()))) == catalog


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="the catalog has no offer 'coupon_3'; expected one of none, discount_10"):
        load_catalog(DEFAULT).index("coupon_3")


def test_yaml_anchors_may_share_terms_between_offers(tmp_path):
    path = tmp_path / "offers.yaml"
    path.write_text(
        "currency: USD\nmax_total_discount: 0.5\noffers:\n- {name: none, kind: none, label: no offer}\n"
        "- &coupon {name: c1, kind: coupon, label: one, value_cents: 100, cap_cents: 100}\n"
        "- {<<: *coupon, name: c2}\n"
    )
    assert load_catalog(path).names == ("none", "c1", "c2")


COUPON = "name: c5\n  kind: coupon\n  label: a coupon\n  value_cents: 500\n  cap_cents: 500"
DISCOUNT = "name: c5\n  kind: discount\n  label: cheaper\n  depth: 0.1\n  cap_cents: 500"
THRESHOLD = "name: c5\n  kind: threshold\n  label: save\n  value_cents: 500\n  threshold_cents: 900\n  cap_cents: 500"
GIFT = "name: c5\n  kind: gift\n  label: gift\n  gift_cost_cents: 150\n  threshold_cents: 900\n  cap_cents: 150"
FLASH = "name: c5\n  kind: flash_sale\n  label: flash\n  depth: 0.4\n  cap_cents: 500\n  stock: 9"
NONE = "name: none\n  kind: none\n  label: no offer"


def written(*offers, head="currency: USD\nmax_total_discount: 0.5\n"):
    return head + "offers:\n" + "".join(f"- {offer}\n" for offer in offers)


def changed(offer, old, new):
    assert old in offer
    return written(NONE, offer.replace(old, new))


CENTS = "is a whole number of cents in [1, 1000000000]"
MISTAKES = {
    "depth above 1": (
        changed(DISCOUNT, "depth: 0.1", "depth: 1.4"),
        "offer 'c5' has depth 1.4; a depth is a share of the price in (0, 1)",
    ),
    "depth of nothing": (
        changed(DISCOUNT, "depth: 0.1", "depth: 0"),
        "offer 'c5' has depth 0.0; a depth is a share of the price in (0, 1)",
    ),
    "depth not a number": (
        changed(DISCOUNT, "depth: 0.1", "depth: .nan"),
        "offer 'c5' has depth nan; a depth is a share of the price in (0, 1)",
    ),
    "depth missing": (
        changed(DISCOUNT, "\n  depth: 0.1", ""),
        "offer 'c5' has depth 0.0; a depth is a share of the price in (0, 1)",
    ),
    "depth too fine": (
        changed(DISCOUNT, "depth: 0.1", "depth: 0.12345"),
        "offer 'c5' has depth 0.12345; a depth has at most four decimals",
    ),
    "depth of a coupon": (
        changed(COUPON, "value_cents", "depth: 0.1\n  value_cents"),
        "offer 'c5' has depth 0.1; kind coupon takes no depth: remove it",
    ),
    "value missing": (
        changed(COUPON, "\n  value_cents: 500", ""),
        f"offer 'c5' has value_cents 0; a value {CENTS}",
    ),
    "value negative": (
        changed(COUPON, "value_cents: 500", "value_cents: -500"),
        f"offer 'c5' has value_cents -500; a value {CENTS}",
    ),
    "value too large": (
        changed(COUPON, "value_cents: 500", "value_cents: 10000000000"),
        f"offer 'c5' has value_cents 10000000000; a value {CENTS}",
    ),
    "threshold missing": (
        changed(GIFT, "\n  threshold_cents: 900", ""),
        f"offer 'c5' has threshold_cents 0; a threshold {CENTS}",
    ),
    "threshold below value": (
        changed(THRESHOLD, "threshold_cents: 900", "threshold_cents: 400"),
        "offer 'c5' has value_cents 500; what is saved is at most threshold_cents 400",
    ),
    "gift without cost": (
        changed(GIFT, "\n  gift_cost_cents: 150", ""),
        f"offer 'c5' has gift_cost_cents 0; a gift's cost {CENTS}",
    ),
    "cap missing": (
        changed(COUPON, "\n  cap_cents: 500", ""),
        f"offer 'c5' has cap_cents 0; a cap, the most that one redemption may cost, {CENTS}",
    ),
    "cap below value": (
        changed(COUPON, "cap_cents: 500", "cap_cents: 400"),
        "offer 'c5' has cap_cents 400; raise it to value_cents 500 or more",
    ),
    "cap below gift": (
        changed(GIFT, "cap_cents: 150", "cap_cents: 100"),
        "offer 'c5' has cap_cents 100; raise it to gift_cost_cents 150 or more",
    ),
    "weeks": (
        changed(COUPON, "cap_cents: 500", "cap_cents: 500\n  weeks: 0"),
        "offer 'c5' has weeks 0; an offer lives for 1 to 52 weeks",
    ),
    "contact": (
        changed(COUPON, "cap_cents: 500", "cap_cents: 500\n  contact_cents: -1"),
        "offer 'c5' has contact_cents -1; a contact costs a whole number of cents in [0, 1000000000]",
    ),
    "absence": (
        changed(COUPON, "cap_cents: 500", "cap_cents: 500\n  min_weeks_since_visit: 53"),
        "offer 'c5' has min_weeks_since_visit 53; expected 0 to 52 weeks",
    ),
    "stock": (
        changed(FLASH, "stock: 9", "stock: 0"),
        "offer 'c5' has stock 0; a stock is 1 to 1000000000 redemptions a week; remove it for no limit",
    ),
    "flash sale without stock": (
        changed(FLASH, "\n  stock: 9", ""),
        "offer 'c5' has stock None; a flash sale needs one: the redemptions that the cohort may have in one week",
    ),
    "name": (
        changed(COUPON, "name: c5", "name: C 5"),
        "offer 'C 5' has name 'C 5'; a name is lower-case letters, digits and underscores, and starts with a letter",
    ),
    "label": (
        changed(COUPON, "label: a coupon", "label: ''"),
        "offer 'c5' has label ''; a label is one line of text that a marketer reads",
    ),
    "terms of no offer": (
        written(NONE + "\n  contact_cents: 2"),
        "offer 'none' has contact_cents 2; kind none takes no contact_cents: remove it",
    ),
    "unknown kind": (
        changed(COUPON, "kind: coupon", "kind: cupon"),
        "offer 'c5' has kind 'cupon'; expected one of none, discount, coupon, threshold, gift, flash_sale",
    ),
    "unknown key": (
        changed(COUPON, "cap_cents", "cap"),
        "offer 'c5' has an unknown key 'cap'; remove it or use one of name, kind, label, scope, depth, value_cents",
    ),
    "missing key": (changed(COUPON, "\n  label: a coupon", ""), "offer 'c5' has no label; add the key 'label'"),
    "missing name": (
        changed(COUPON, "name: c5\n  ", ""),
        "offer number 2 has no name; add the key 'name'",
    ),
    "text for a number": (
        changed(COUPON, "value_cents: 500", "value_cents: 5 USD"),
        "offer 'c5' has value_cents '5 USD'; expected a whole number",
    ),
    "a fraction of a cent": (
        changed(COUPON, "value_cents: 500", "value_cents: 1.5"),
        "offer 'c5' has value_cents 1.5; expected a whole number",
    ),
    "yes for a number": (
        changed(COUPON, "value_cents: 500", "value_cents: yes"),
        "offer 'c5' has value_cents True; expected a whole number",
    ),
    "text for a stock": (
        changed(FLASH, "stock: 9", "stock: many"),
        "offer 'c5' has stock 'many'; expected a whole number or nothing (null)",
    ),
    "an offer that is no mapping": (
        written(NONE, "coupon"),
        "offer number 2 is 'coupon'; expected a mapping with the keys name, kind, label",
    ),
    "duplicate names": (
        written(NONE, COUPON, COUPON),
        "offer 'c5' occurs twice; names are unique, rename one",
    ),
    "no offer not first": (
        written(COUPON, NONE),
        "the first offer is 'c5' of kind coupon; expected an offer of kind none, put it first",
    ),
    "no offer twice": (
        written(NONE, NONE.replace("name: none", "name: nothing")),
        "offer 'nothing' has kind none; only the first offer is of that kind, remove it",
    ),
    "empty list": (
        "currency: USD\nmax_total_discount: 0.5\noffers: []\n",
        "the first offer is missing; expected an offer of kind none, put it first",
    ),
    "nothing to choose": (written(NONE), "the catalog is empty: it has 'none' alone; add an offer to choose"),
    "offers no list": (
        "currency: USD\nmax_total_discount: 0.5\noffers: {none: 1}\n",
        "the catalog has offers {'none': 1}; expected a list of offers",
    ),
    "unknown catalog key": (
        written(NONE, head="currency: USD\nmax_total_discount: 0.5\nbudget: 9\n"),
        "the catalog has an unknown key 'budget'; remove it or use one of currency, max_total_discount, offers",
    ),
    "missing catalog key": (
        written(NONE, head="max_total_discount: 0.5\n"),
        "the catalog has no currency; add the key 'currency'",
    ),
    "currency": (
        written(NONE, head="currency: $\nmax_total_discount: 0.5\n"),
        "currency is '$'; expected three capital letters, as in USD",
    ),
    "currency of another type": (
        written(NONE, head="currency: 840\nmax_total_discount: 0.5\n"),
        "the catalog has currency 840; expected text (in quotes)",
    ),
    "total discount": (
        written(NONE, head="currency: USD\nmax_total_discount: 50\n"),
        "max_total_discount is 50.0; expected a share of the basket in (0, 1] with at most four decimals",
    ),
    "key written twice": (
        changed(COUPON, "cap_cents: 500", "cap_cents: 500\n  cap_cents: 600"),
        "line 12 is not valid YAML (the key 'cap_cents' is written twice); correct it",
    ),
    "not YAML": ("offers: [\n", "line 2 is not valid YAML ("),
    "an impossible date": ("currency: 2024-13-45\n", "the file is not valid YAML (month must be in 1..12"),
    "an object": ("!!python/object:os.system {}\n", "line 1 is not valid YAML (could not determine a constructor"),
    "empty file": ("", "the catalog is None; expected a mapping with the keys currency, max_total_discount, offers"),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_file_is_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "offers.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{path}: {message}")) as error:
        load_catalog(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_told_by_its_path(tmp_path):
    path = tmp_path / "absent.yaml"
    with pytest.raises(InputError, match=re.escape(f"{path}: the file cannot be read (No such file or directory)")):
        load_catalog(path)


def test_a_file_that_is_no_text_is_told_so(tmp_path):
    path = tmp_path / "offers.yaml"
    path.write_bytes(b"currency: \xff\xfe")
    with pytest.raises(InputError, match="the file is not UTF-8 text"):
        load_catalog(path)
