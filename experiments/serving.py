"""How the look-up service is started, and with which keys it is asked."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from campaigns.errors import InputError
from serving.http.address import Address
from serving.online.api_keys import Scope
from serving.online.service import Settings


@dataclass
class ServeConfig:
    """What to serve, where, and who may ask; or a key to make or to revoke."""

    store: str = "store"  # of signed tables
    keys: str = "keys"  # as of `publish`: its folder `trusted` has the public keys whose signatures count
    trusted: str = ""  # that folder, if it lies elsewhere
    policy: str = ""  # a run's policy folder instead of a store, signed by nobody: for trials
    state: str = "state"  # folder of logs, ledger, API keys and kill switch
    host: str = "127.0.0.1"
    port: int = 8000
    public: bool = False  # others than this machine may connect
    today: str = ""  # a date to decide for, as in 2018-01-02, to try a table of another year; today's if empty
    poll_seconds: float = 0.2  # between looks at the store, the API keys and the kill switch
    reserve_seconds: float = 900.0  # how long a redemption is reserved
    requests_per_second: float = 50_000.0  # of one API key
    new_key: list[Scope] = field(default_factory=list)  # scopes of an API key to make; then nothing is served
    note: str = ""  # whose key it is
    days: float = 0.0  # until it expires; 0 for never
    revoke: str = ""  # id of an API key to revoke; then nothing is served

    def __post_init__(self) -> None:
        if self.days < 0:
            raise InputError(f"serve.days is {self.days}; expected 0 or more")
        if self.new_key and self.revoke:
            raise InputError("serve: new_key and revoke are given both; do one after the other")
        self.address()
        self.settings()

    def address(self) -> Address:
        return Address(self.host, self.port, self.public)

    def settings(self) -> Settings:
        store = None if self.policy else Path(self.store)
        trusted = None if self.policy else Path(self.trusted) if self.trusted else Path(self.keys) / "trusted"
        return Settings(
            state=Path(self.state),
            store=store,
            trusted=trusted,
            folder=Path(self.policy) if self.policy else None,
            today=self._today(),
            poll_seconds=self.poll_seconds,
            reserve_seconds=self.reserve_seconds,
            requests_per_second=self.requests_per_second,
        )

    def _today(self) -> date | None:
        try:
            return date.fromisoformat(self.today) if self.today else None
        except ValueError:
            raise InputError(f"serve.today is {self.today!r}; expected a date, as in 2018-01-02") from None
