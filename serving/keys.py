"""Keys that sign policy tables and acts on them: private ones of persons, public ones that are trusted with roles."""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from re import fullmatch
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from campaigns.errors import InputError
from campaigns.schema import check_keys
from serving.durable import write_new

NAME: Final = "[a-z0-9][a-z0-9_-]{0,39}"
"""What a key may be called."""
RULES: Final = "rules.json"
"""File of a trusted folder that is no key: the rules of approval."""
APPROVAL_ABOVE: Final = 0.3
"""Share of changed decisions from which a second person must agree, where the rules say nothing."""


class Role(Enum):
    """What a key may sign."""

    PUBLISH = "publish"  # new versions, and how many customers get them
    APPROVE = "approve"  # a new version that changes many decisions
    ROLLBACK = "rollback"  # going back to a version that counted before


@dataclass(frozen=True, repr=False)
class SigningKey:
    """A person's private Ed25519 key; neither its text nor an error shows it."""

    name: str
    private: Ed25519PrivateKey

    def __post_init__(self) -> None:
        check_name(self.name)

    @classmethod
    def generate(cls, name: str) -> Self:
        """Return a new key from the system's randomness."""
        return cls(check_name(name), Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, folder: Path, name: str) -> Self:
        """Read `<folder>/<name>.pem`.

        Raises:
            InputError: There is no such key, others may read it, or it is none.
        """
        path = folder / f"{check_name(name)}.pem"
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(handle, "rb") as stream:
                mode = stat.S_IMODE(os.fstat(handle).st_mode)
                data = stream.read(65_536)
        except OSError as error:
            raise InputError(f"{path}: not readable ({error.strerror}); make a key with act=keygen") from None
        if mode & 0o077:
            raise InputError(f"{path}: others may read it (mode {mode:o}); chmod 600, or make a new key if they did")
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise InputError(f"{path}: not a private key in PEM without a password; make one with act=keygen") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"{path}: not an Ed25519 key; make one with act=keygen")
        return cls(name, key)

    def write(self, folder: Path) -> Path:
        """Write `<folder>/<name>.pem`, for the owner's eyes alone; return its path.

        Raises:
            InputError: There is such a file, or the folder cannot be written.
        """
        path = folder / f"{self.name}.pem"
        data = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write_new(path, data, 0o600)
        return path

    def sign(self, data: bytes) -> bytes:
        """Return the signature of 64 bytes."""
        return self.private.sign(data)

    def trusted(self, roles: Iterable[Role]) -> "TrustedKey":
        """Return the public half, with what it may sign."""
        return TrustedKey(self.name, self.private.public_key(), frozenset(roles))


@dataclass(frozen=True)
class TrustedKey:
    """A public key and what it may sign.

    Attributes:
        name: Whose it is.
        public: The key.
        roles: What it may sign.
        last_act: Number of the last act that it could sign, where it is withdrawn: what it signed before still counts.
    """

    name: str
    public: Ed25519PublicKey
    roles: frozenset[Role]
    last_act: int | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.roles:
            raise InputError(f"key {self.name!r} has no roles; expected some of {_listed()}")

    @property
    def raw(self) -> bytes:
        """The key itself, 32 bytes: two names with the same are one person."""
        return self.public.public_bytes(Encoding.Raw, PublicFormat.Raw)

    def write(self, folder: Path) -> Path:
        """Write `<folder>/<name>.json`; return its path.

        Raises:
            InputError: There is such a file, or the folder cannot be written.
        """
        pem = self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        entry = {"name": self.name, "public_key": pem, "roles": [role.value for role in Role if role in self.roles]}
        path = folder / f"{self.name}.json"
        _write_new(path, (json.dumps(entry, indent=1) + "\n").encode(), 0o644)
        return path


@dataclass(frozen=True)
class Trusted:
    """Whose signatures count, and from how many changed decisions on two persons must agree.

    Attributes:
        keys: By name.
        approval_above: Share of changed decisions, in [0, 1]; above it a new version counts once it is approved.
    """

    keys: Mapping[str, TrustedKey] = field(default_factory=dict)
    approval_above: float = APPROVAL_ABOVE

    def __post_init__(self) -> None:
        if not 0 <= self.approval_above <= 1:
            raise InputError(f"approval_above is {self.approval_above!r}; expected a share in [0, 1]")

    @classmethod
    def of(cls, *keys: TrustedKey, approval_above: float = APPROVAL_ABOVE) -> Self:
        return cls({key.name: key for key in keys}, approval_above)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read every `<name>.json` of a folder, and its `rules.json` where there is one.

        Keep the folder outside the store: who can write it decides whose signatures count.

        Raises:
            InputError: There is no such folder, no key in it, or a file is none of these.
        """
        paths = sorted(folder.glob("*.json")) if folder.is_dir() else []
        keys = [_read_trusted(path) for path in paths if path.name != RULES]
        if not keys:
            raise InputError(f"{folder}: no trusted key there; make one with act=keygen, or copy public keys to it")
        rules = folder / RULES
        if not rules.exists():
            return cls.of(*keys)
        above = check_keys(_read_plain(rules), ("approval_above",), ("approval_above",), str(rules))["approval_above"]
        if type(above) not in (int, float) or not 0 <= above <= 1:
            raise InputError(f"{rules}: approval_above is {above!r}; expected a share in [0, 1]")
        return cls.of(*keys, approval_above=float(above))

    def admit(self, key: SigningKey, role: Role) -> None:
        """Refuse a private key whose signature would not count, before anything is done with it.

        Raises:
            InputError: It is not trusted, not with this role, or another one has its name.
        """
        known = self.keys.get(key.name)
        if known is None:
            raise InputError(f"key {key.name!r} is not trusted; known are {', '.join(self.keys)}")
        if known.raw != key.trusted(Role).raw:
            raise InputError(f"key {key.name!r} is not the one that is trusted under that name; use the right one")
        if role not in known.roles:
            able = [name for name, one in self.keys.items() if role in one.roles]
            raise InputError(f"key {key.name!r} may not {role.value}; who may: {', '.join(able) or 'nobody'}")

    def signer(self, name: str, role: Role, place: str, act: int) -> TrustedKey:
        """Return the key that may sign act `act`.

        Raises:
            InputError: It may not; the text begins with `place`.
        """
        key = self.keys.get(name)
        if key is None:
            raise InputError(f"{place}: signed by {name!r}, whom nobody trusts; known are {', '.join(self.keys)}")
        if role not in key.roles:
            raise InputError(f"{place}: signed by {name!r}, who may not {role.value}; let one sign who may")
        if key.last_act is not None and act > key.last_act:
            raise InputError(f"{place}: signed by {name!r}, whose key was withdrawn after act {key.last_act}")
        return key

    def check(self, name: str, role: Role, data: bytes, signature: bytes, place: str, act: int) -> TrustedKey:
        """Return the key that signed act `act`, once it is trusted with the role and the signature is of these bytes.

        Raises:
            InputError: It is not; the text begins with `place`.
        """
        key = self.signer(name, role, place, act)
        try:
            key.public.verify(signature, data)
        except InvalidSignature:
            raise InputError(f"{place}: the signature of {name!r} is not of these bytes; it was changed") from None
        return key


def check_name(name: str) -> str:
    """Return a key's name, once it can be a file's name everywhere.

    Raises:
        InputError: It cannot.
    """
    if not fullmatch(NAME, name) or f"{name}.json" == RULES:
        raise InputError(f"key name {name!r}: expected 1 to 40 lower-case letters, digits, dashes or underscores")
    return name


def _read_trusted(path: Path) -> TrustedKey:
    fields = ("name", "public_key", "roles")
    entry = check_keys(_read_plain(path), fields, (*fields, "last_act"), str(path))
    known = {role.value: role for role in Role}
    if entry["name"] != path.stem:
        raise InputError(f"{path}: names the key {entry['name']!r}; expected {path.stem!r}, as the file is called")
    if not isinstance(entry["roles"], list) or any(role not in known for role in entry["roles"]):
        raise InputError(f"{path}: roles are {entry['roles']!r}; expected a list of some of {_listed()}")
    try:
        public = load_pem_public_key(str(entry["public_key"]).encode())
    except (ValueError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise InputError(f"{path}: public_key is no Ed25519 key in PEM; make one with act=keygen")
    last = entry.get("last_act")
    if last is not None and type(last) is not int:
        raise InputError(f"{path}: last_act is {last!r}; expected the number of an act")
    return TrustedKey(entry["name"], public, frozenset(known[role] for role in entry["roles"]), last)


def _read_plain(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); write it again") from None


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path, data, mode)
    except FileExistsError:
        raise InputError(f"{path}: is there already; choose another name, or remove it first") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def _listed() -> str:
    return ", ".join(role.value for role in Role)
