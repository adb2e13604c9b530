"""The platforms by name."""

from collections.abc import Mapping
from typing import Final

from serving.platforms.campaign import Platform
from serving.platforms.coupons import Coupons
from serving.platforms.google import Google
from serving.platforms.magento import Magento
from serving.platforms.shopify import Shopify
from serving.platforms.woocommerce import WooCommerce

PLATFORMS: Final[Mapping[str, Platform]] = {
    platform.name: platform for platform in (Coupons(), Shopify(), WooCommerce(), Magento(), Google())
}
