"""What can go wrong between us and a platform."""

from campaigns.errors import InputError


class DeliveryError(InputError):
    """A platform refused, or cannot be reached; its text is one line without secrets.

    What was sent before is in the journal: the same command goes on after it.
    """


class UnsureError(Exception):
    """An answer did not come: the platform may have done what was asked, or not."""
