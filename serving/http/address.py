"""Where the service listens, and how its settings go from one process to another; loads nothing that answers."""

import ipaddress
import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from campaigns.errors import InputError
from serving.online.service import Settings


@dataclass(frozen=True)
class Address:
    """Where it listens.

    Attributes:
        host: An address of this machine; one that others reach needs `public`.
        port: 0 for any that is free.
        public: Others may connect.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    public: bool = False

    def __post_init__(self) -> None:
        try:
            loopback = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            raise InputError(f"serve.host is {self.host!r}; expected an address, as in 127.0.0.1") from None
        if not loopback and not self.public:
            raise InputError(f"serve.host is {self.host}, which others reach; add serve.public=true if they should")
        if not 0 <= self.port <= 65_535:
            raise InputError(f"serve.port is {self.port}; expected 0 to 65535")


def encode(settings: Settings, address: Address) -> str:
    """Return both as one argument of `python -m serving.http`."""
    return json.dumps({"settings": vars(settings), "address": vars(address)}, default=str)


def decode(text: str) -> tuple[Settings, Address]:
    """Read what `encode` wrote."""
    given = json.loads(text)
    settings = dict(given["settings"])
    for name in ("state", "store", "trusted", "folder"):
        settings[name] = None if settings[name] is None else Path(settings[name])
    settings["today"] = None if settings["today"] is None else date.fromisoformat(settings["today"])
    return Settings(**settings), Address(**given["address"])
