"""One HTTP connection to a platform: waits as long as it is told to, and never repeats what may have been done.

A 429, and a connection that was never made, did nothing and are repeated. A 5xx, a connection that is cut, an answer
that cannot be read may have done everything: a question is repeated, anything else raises `UnsureError`.

References:
    RFC 9110, sections 9.2.2 (idempotent methods) and 10.2.3 (Retry-After).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx

from serving.platforms.codes import hide
from serving.platforms.sending.errors import DeliveryError, UnsureError

ATTEMPTS: Final = 6
LONGEST_WAIT: Final = 120.0
"""Longest wait [s] that a platform may ask for; a longer one ends the command, to be repeated later."""
_TIMEOUT: Final = 30.0


@dataclass(frozen=True)
class Answer:
    """What a platform said: the status, and the body as JSON."""

    status: int
    body: Any


class Transport:
    """Requests to one address, with credentials in its headers."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        wait: Callable[[float], None],
        auth: tuple[str, str] | None = None,
        secrets: tuple[str, ...] = (),
    ) -> None:
        """Make the connection.

        Args:
            url: Address of the shop.
            headers: Sent with every request.
            wait: Sleeps for seconds.
            auth: User and password, where the platform takes these.
            secrets: Texts that no message may contain.
        """
        self.wait = wait
        self._url = url
        self._secrets = (*secrets, *(auth or ()))
        self._client = httpx.Client(
            base_url=url, headers=dict(headers), auth=auth, timeout=_TIMEOUT, follow_redirects=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None) -> Answer:
        """Ask what may be asked again: a question, or something that a repetition does not change.

        Raises:
            DeliveryError: No answer after some attempts, or credentials are refused.
        """
        for attempt in range(ATTEMPTS):
            try:
                return self.send(method, path, body, params)
            except UnsureError as error:
                last = str(error)
                self.wait(backoff(attempt))
        raise self.error(f"no answer after {ATTEMPTS} attempts ({last}); run the command again later")

    def send(self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None) -> Answer:
        """Send something once.

        Raises:
            UnsureError: It may have been done.
            DeliveryError: It was not done: nobody answers, the platform is too busy, or credentials are refused.
        """
        last = ""
        for attempt in range(ATTEMPTS):
            try:
                response = self._client.request(method, path, json=body, params=params)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                last = type(error).__name__
                self.wait(backoff(attempt))
                continue
            except httpx.TransportError as error:
                raise UnsureError(type(error).__name__) from None
            if response.status_code == 429:
                last = "429 Too Many Requests"
                self.wait(self._asked(response, attempt))
                continue
            return self._read(response)
        raise self.error(f"nothing can be sent after {ATTEMPTS} attempts ({last}); run the command again later")

    def error(self, text: str) -> DeliveryError:
        """Return the error with a text, without secrets."""
        return DeliveryError(f"{self._url}: {hide(text, self._secrets)}")

    def _read(self, response: httpx.Response) -> Answer:
        if response.status_code >= 500:
            raise UnsureError(f"{response.status_code} {response.reason_phrase}")
        if response.status_code in (401, 403):
            raise self.error(f"{response.status_code}: the credentials are refused; check the environment variables")
        if response.is_redirect:
            raise self.error(f"{response.status_code}: sends us elsewhere; put the final address into the mapping")
        try:
            return Answer(response.status_code, response.json())
        except ValueError:
            if response.status_code >= 400:
                return Answer(response.status_code, {"message": response.reason_phrase})
            raise UnsureError(f"{response.status_code} with an answer that is no JSON") from None

    def _asked(self, response: httpx.Response, attempt: int) -> float:
        """Return how long to wait [s], as the platform asks."""
        seconds = retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC))
        if seconds is None:
            return backoff(attempt)
        if seconds > LONGEST_WAIT:
            raise self.error(f"429: asks to wait for {seconds:.0f} seconds; run the command again after that")
        return seconds


def backoff(attempt: int) -> float:
    """Return how long to wait after an attempt without being told [s]: 1, 2, 4, ... up to 30."""
    return min(30.0, 2.0**attempt)


def retry_after(value: str, now: datetime) -> float | None:
    """Return the wait that a Retry-After header asks for [s], seconds or a date; None where it says nothing."""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError):
        return None
