"""The description over HTTP is kept by the service, whatever is sent."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.online.service import Settings
from serving.publishing import publish
from serving.table import PolicyTable
from tests.serving.served import DAY, serving

EXAMPLES = 300
"""Of every operation and kind of test."""
CHECKS = ("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful")


@pytest.mark.slow
def test_schemathesis_finds_nothing(build: Callable[..., PolicyTable], tmp_path: Path) -> None:
    ids = [chr(i) for i in range(0x21, 0x21 + 400) if not 0x7F <= i <= 0xA0][:300]  # so short that some are guessed
    publish(build(customer_id=ids), tmp_path / "policy")
    with serving(Settings(tmp_path / "state", folder=tmp_path / "policy", today=DAY)) as served:
        address = f"http://127.0.0.1:{served.client.port}/openapi.json"
        key = ("--header", f"Authorization: Bearer {served.client.token}")
        limits = ("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none", "--no-color")
        tool = str(Path(sys.executable).parent / "schemathesis")
        done = subprocess.run(
            [tool, "run", address, *key, *CHECKS, *limits], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-6000:]
        count = re.search(r"(\d+) generated", done.stdout)
        assert count and int(count[1]) > 1_000
        metrics = served.client.get("/metrics")[1]
        assert not re.search(r'status="500"', metrics)
        print(re.findall(r'offersmith_requests_total\{route="/v1/redemptions[^}]*\} \S+', metrics), count[0])
