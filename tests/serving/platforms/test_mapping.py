"""A mapping is read whole or refused in one line that names file, place and remedy."""

import pytest

from campaigns.errors import InputError
from serving.platforms.mapping import Caps, ShopMapping, Targeting, load_mapping
from serving.platforms.registry import PLATFORMS

WHOLE = """
time_zone: Europe/Berlin
caps: exceed
customers: customers.csv
shopify:
  url: https://my-shop.myshopify.com/
  targeting: customer
  categories:
    SOFT DRINKS: [gid://shopify/Collection/1]
woocommerce: {url: "https://shop.example", categories: {SOFT DRINKS: [12, 13]}}
magento: {url: "https://shop.example", website_ids: [1], customer_group_ids: [0, 1]}
google: {account: "12", data_source: "34", content_language: de, target_country: DE}
"""


def written(tmp_path, text):
    (tmp_path / "customers.csv").write_text("customer_id,shopify_id,email\n007,gid://shopify/Customer/7,\n")
    path = tmp_path / "platforms.yaml"
    path.write_text(text)
    return path


def test_a_whole_mapping_is_read(tmp_path):
    mapping = load_mapping(written(tmp_path, WHOLE))
    assert mapping.caps is Caps.EXCEED and mapping.zone.key == "Europe/Berlin"
    assert mapping.shopify.url == "https://my-shop.myshopify.com"
    assert mapping.shopify.targeting is Targeting.CUSTOMER
    assert mapping.woocommerce.categories == {"SOFT DRINKS": ("12", "13")}
    assert mapping.magento.website_ids == ("1",) and mapping.google.account == "12"
    assert mapping.identities(("007",), "shopify_id") == ("gid://shopify/Customer/7",)
    with pytest.raises(InputError, match="has no email for '007' and 0 more; add them, or use targeting: code"):
        mapping.identities(("007",), "email")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("caps: exceed", "caps: ignore"), "the mapping has caps 'ignore'; expected one of leave_out, exceed"),
        (("Europe/Berlin", "Berlin"), "time_zone is 'Berlin'; expected a name as in Europe/Berlin"),
        (("targeting: customer", "targeting: mail"), "shopify has targeting 'mail'; expected one of code, customer"),
        (("https://my-shop", "http://my-shop"), "shopify has url 'http://my-shop.myshopify.com/'; expected an address"),
        (("  url: https://my-shop.myshopify.com/\n", ""), "shopify has no url; add the key 'url'"),
        (("website_ids: [1]", "website_ids: 1"), "magento has website_ids 1; expected a list of ids"),
        (("data_source:", "source:"), "google has an unknown key 'source'"),
        (("[12, 13]", "[]"), r"woocommerce.categories has SOFT DRINKS \[\]; expected a list of ids"),
        (("customers.csv", "none.csv"), "none.csv: not readable as CSV"),
        (("time_zone:", "clock:"), "the mapping has an unknown key 'clock'"),
        (("caps: exceed", "caps: exceed\ncaps: exceed"), "the key 'caps' is written twice"),
    ],
)
def test_a_mistake_in_a_mapping_is_one_line(tmp_path, change, said):
    assert change[0] in WHOLE
    path = written(tmp_path, WHOLE.replace(*change))
    with pytest.raises(InputError, match=said) as error:
        load_mapping(path)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", [name for name in PLATFORMS if name != "coupons"])
def test_a_platform_without_its_part_of_the_mapping_says_so(name, table, codes, tmp_path):
    with pytest.raises(InputError, match=f"hand_over.mapping is not given: nothing on {name}; name a mapping"):
        PLATFORMS[name].campaign(table, codes, ShopMapping())
