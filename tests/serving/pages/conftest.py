"""The campaign page in this process, over the small table: as a run's folder, and as a store of signed versions."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.http.app import build_app
from serving.keys import Role, Trusted
from serving.online.api_keys import Scope, create_key
from serving.online.service import Service, Settings
from serving.store import Store
from serving.table import PolicyTable
from tests.serving.served import DAY
from tests.serving.signing import ANA, BO, export, without_offer

HERE = "http://127.0.0.1:8000"
EVIL = "<script>alert(1)</script>"
FORMULA = "=cmd()"


@dataclass
class Visitor:
    """Somebody with a browser that keeps cookies."""

    app: Any
    service: Service
    token: str
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def get(self, path: str = "", **headers: str) -> httpx.Response:
        return self.ask("GET", f"/campaign{path}", {name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, fields: dict[str, str], origin: str = HERE, **headers: str) -> httpx.Response:
        sent = {"Origin": origin} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/campaign{path}", sent, fields)

    def ask(
        self, method: str, path: str, headers: dict[str, str], fields: dict[str, str] | None = None
    ) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url=HERE, cookies=self.cookies, verify=False
            ) as http:
                response = await http.request(method, path, headers=headers, data=fields)
                self.cookies = http.cookies
                return response

        return asyncio.run(asked())

    def log_in(self, token: str = "") -> "Visitor":
        answer = self.post("/login", {"key": token or self.token, "next": "/campaign"})
        assert answer.status_code == 303, answer.text
        return self

    @property
    def form(self) -> str:
        """What this session's forms send back."""
        text = self.get("/login").text
        return str(text.split('name="form" value="')[1].split('"')[0])


@contextmanager
def visiting(settings: Settings, scopes: list[Scope] | None = None, **environment: str) -> Iterator[Visitor]:
    token = create_key(settings.state, scopes or list(Scope), "a test")
    service = Service(settings, environment)
    try:
        yield Visitor(build_app(service), service, token)
    finally:
        service.close()


def named(build: Callable[..., PolicyTable]) -> PolicyTable:
    """Return the small table with two customers whose names are meant to do harm."""
    table = build()
    ids = table.customers["customer_id"].copy()
    ids.iloc[0], ids.iloc[1] = EVIL, FORMULA
    return build(customer_id=ids.sort_values().reset_index(drop=True))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., PolicyTable]) -> Path:
    """The small table, with names that are meant to do harm, as a run's policy folder."""
    return export(named(build), tmp_path_factory.mktemp("named") / "policy")


@pytest.fixture
def visitor(folder: Path, tmp_path: Path) -> Iterator[Visitor]:
    """Somebody who is not logged in yet."""
    with visiting(Settings(tmp_path / "state", folder=folder, today=DAY)) as one:
        yield one


@pytest.fixture
def reader(visitor: Visitor) -> Visitor:
    """Somebody who is logged in."""
    return visitor.log_in()


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory, build: Callable[..., PolicyTable]) -> Path:
    """A store in which version 2, by Ana, takes their offer from half of those who have one, and waits for Bo."""
    root = tmp_path_factory.mktemp("opened")
    for key, roles in ((ANA, [Role.PUBLISH, Role.APPROVE]), (BO, [Role.APPROVE, Role.ROLLBACK])):
        key.trusted(roles).write(root / "keys" / "trusted")
        key.write(root / "keys")
    store = Store(root / "store", Trusted.read(root / "keys" / "trusted"), clock=lambda: "2018-01-01T08:00:00Z")
    for name, table in (("first", build()), ("second", without_offer(build(), 150))):
        store.publish(export(table, root / name), ANA)
    return root


@pytest.fixture
def shop(opened: Path, tmp_path: Path) -> Settings:
    """Settings of a service over a store of its own like that."""
    return shop_of(opened, tmp_path)


def shop_of(opened: Path, root: Path) -> Settings:
    for name in ("store", "keys"):
        shutil.copytree(opened / name, root / name)
    return Settings(root / "state", store=root / "store", trusted=root / "keys" / "trusted", today=DAY)
