"""Connects to a platform with the credentials of the environment."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from campaigns.errors import InputError
from serving.platforms.mapping import ShopMapping
from serving.platforms.sending.delivery import Endpoint
from serving.platforms.sending.google import GoogleEndpoint
from serving.platforms.sending.magento import MagentoEndpoint
from serving.platforms.sending.shopify import ShopifyEndpoint
from serving.platforms.sending.transport import Transport
from serving.platforms.sending.woocommerce import WooCommerceEndpoint

CREDENTIALS: Final[Mapping[str, tuple[str, ...]]] = {
    "shopify": ("SHOPIFY_ACCESS_TOKEN",),
    "woocommerce": ("WOOCOMMERCE_CONSUMER_KEY", "WOOCOMMERCE_CONSUMER_SECRET"),
    "magento": ("MAGENTO_ACCESS_TOKEN",),
    "google": ("GOOGLE_MERCHANT_ACCESS_TOKEN",),
}
"""Environment variables that sending needs, by platform; a platform without an entry takes a file alone."""
_ENDPOINTS: Final[Mapping[str, Callable[[Transport], Endpoint]]] = {
    "shopify": ShopifyEndpoint,
    "woocommerce": WooCommerceEndpoint,
    "magento": MagentoEndpoint,
    "google": GoogleEndpoint,
}


def read_credentials(platform: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the credentials of a platform.

    Raises:
        InputError: The platform is sent nothing, or a variable is missing.
    """
    if platform not in CREDENTIALS:
        raise InputError(f"{platform} is a file: load it where it is needed; leave hand_over.send=true out")
    missing = [name for name in CREDENTIALS[platform] if not environment.get(name, "").strip()]
    if missing:
        raise InputError(
            f"sending to {platform} needs the environment variable {' and '.join(missing)}; nothing is sent"
        )
    return tuple(environment[name].strip() for name in CREDENTIALS[platform])


def connect(
    platform: str, mapping: ShopMapping, credentials: tuple[str, ...], wait: Callable[[float], None]
) -> Endpoint:
    """Return a platform that takes requests.

    Args:
        platform: Its name.
        mapping: For its address.
        credentials: As `read_credentials` returns them.
        wait: Sleeps for seconds.
    """
    shop: Any = mapping.shop(platform)
    headers: dict[str, str] = {"Accept": "application/json"}
    auth = None
    if platform == "woocommerce":
        auth = (credentials[0], credentials[1])
    elif platform == "shopify":
        headers["X-Shopify-Access-Token"] = credentials[0]
    else:
        headers["Authorization"] = f"Bearer {credentials[0]}"
    transport = Transport(shop.url, headers, wait, auth, credentials)
    return _ENDPOINTS[platform](transport)
