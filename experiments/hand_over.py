"""Write the campaign of a policy table for a shop platform; send it only when told to.

python -m experiments.hand_over name=demo hand_over.platform=coupons
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from campaigns.errors import InputError
from experiments.config import Config
from experiments.main import main, of_budget
from experiments.runs import MANIFEST, Step
from history.artifacts import hash_file, hash_value
from serving.platforms.campaign import Campaign, Platform
from serving.platforms.checkout.agreement import agreements
from serving.platforms.codes import Codes, read_key
from serving.platforms.files import write_campaign
from serving.platforms.mapping import ShopMapping, load_mapping
from serving.platforms.notes import Standing
from serving.platforms.registry import PLATFORMS
from serving.platforms.schemas import check_payloads
from serving.platforms.sending.delivery import check_dates, deliver
from serving.platforms.sending.endpoints import CREDENTIALS, connect, read_credentials
from serving.platforms.sending.journal import Journal
from serving.publishing import read_policy
from serving.table import PolicyTable


def run_hand_over(
    config: Config,
    environment: Mapping[str, str] = os.environ,
    wait: Callable[[float], None] = time.sleep,
    now: datetime | None = None,
) -> Path:
    """Write, and where told to send, a campaign; return its folder.

    Args:
        config: As composed.
        environment: Holds the credentials, and the key of the codes where it is not in a file.
        wait: Sleeps for seconds.
        now: Moment of sending; the clock's where it is None.

    Raises:
        InputError: There is no table, the mapping lacks something, an offer would be priced otherwise, or
            sending fails.
    """
    settings, policy, root = config.hand_over, of_budget(config, "policy"), of_budget(config, "platforms")
    if not (policy / MANIFEST).is_file():
        raise InputError(f"{policy}: no policy table; run `python -m experiments.export` first")
    platform = PLATFORMS[settings.platform.value]
    credentials = read_credentials(platform.name, environment) if settings.send else ()
    table, digest = read_policy(policy), hash_file(policy / MANIFEST)
    mapping = load_mapping(Path(settings.mapping)) if settings.mapping else ShopMapping()
    if platform.name in CREDENTIALS:
        mapping.shop(platform.name)  # said before a key is made
    codes = Codes(read_key(root / "codes.key", environment), digest)
    campaign = platform.campaign(table, codes, mapping)
    check_payloads(platform.name, _payloads(campaign))
    folder = _write(root / platform.name, policy, platform, campaign, table, mapping, digest)
    _tell(platform, campaign, folder)
    if settings.send:
        check_dates([sample.lot for sample in campaign.samples], mapping, platform.name, now or datetime.now(UTC))
        address = hash_value(mapping.shop(platform.name).url)[:8]
        with Journal(root / "sent" / f"{platform.name}-{digest[:12]}-{address}.jsonl") as journal:
            endpoint = connect(platform.name, mapping, credentials, wait)
            with endpoint.transport:
                sent = deliver(campaign.requests, endpoint, journal)
        print(f"hand_over: sent {sent.now} requests to {platform.name}; {sent.before} had been sent before")
    return folder


def _payloads(campaign: Campaign) -> list[tuple[str, Mapping[str, object]]]:
    if campaign.requests:
        return [(request.key, request.body) for request in campaign.requests]
    return [(sample.lot.offer.name, sample.payload) for sample in campaign.samples]


def _write(
    folder: Path,
    policy: Path,
    platform: Platform,
    campaign: Campaign,
    table: PolicyTable,
    mapping: ShopMapping,
    digest: str,
) -> Path:
    """Write the folder anew, its manifest last."""
    found = agreements(platform, campaign, table.catalog, mapping)
    source = hash_file(mapping.path) if mapping.path.name else ""
    settings = {"platform": platform.name, "mapping": source}
    step = Step(folder, "hand_over", settings, {"policy": policy})
    if folder.exists():
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)
    step.begin()
    write_campaign(folder, platform, campaign, found, digest)
    step.finish({"table": digest, "requests": len(campaign.requests)})
    return folder


def _tell(platform: Platform, campaign: Campaign, folder: Path) -> None:
    """Print what became of the offers; never a code."""
    for standing in Standing:
        those = [c for c in campaign.coverage if c.standing is standing]
        if those:
            named = ", ".join(f"{c.customers} x {c.offer}" for c in those)
            print(f"hand_over: {platform.name}, {standing.value}: {named}")
    print(f"hand_over: wrote {len(campaign.requests)} requests and {len(campaign.notes)} notes to {folder}")


if __name__ == "__main__":
    main(run_hand_over)
