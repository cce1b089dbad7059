"""The errors of the package. Each names the thing, what is wrong and what to do, and has the exit code of the command
that it ends."""

from __future__ import annotations

from collections.abc import Iterable, Sized


class VectorError(Exception):
    """Base of every error this package raises on purpose. `exit_code` is what a command exits with."""

    exit_code = 2


class ConfigurationError(VectorError):
    """A profile, target, space, option or environment variable is missing or wrong."""


class DatabaseBusy(ConfigurationError):
    """Another process has the database open. Waiting helps."""


class DatabaseFailed(VectorError):
    """The database has stopped: its disk is full, or an error inside has ended it. What was committed before is stored.
    `lost` says that another session's error was the cause, so the work may succeed when it is tried again."""

    exit_code = 70

    def __init__(self, message: str, lost: bool = False):
        super().__init__(message)
        self.lost = lost


class UnusableInput(ConfigurationError):
    """The input of a job names a space, query set, run or policy that does not exist, or values that do not go
    together. It is permanent: the next attempt would fail in the same way."""


class SpaceBusy(ConfigurationError):
    """Another session embeds into the space."""


class InvalidRecord(VectorError, ValueError):
    """A record was refused, and nothing was written: wrong length, not finite, unknown key, bad hash."""


class SourceUnreadable(VectorError):
    """A source cannot be read: its file is missing, is not UTF-8, or is not of the format that was named."""


class ExtractionLimit(SourceUnreadable):
    """A source exceeds a limit of time, memory or size. It is permanent: the next attempt would exceed it too."""


class ProviderError(VectorError):
    """A model could not be used: the server is down, the model is missing, the reply makes no sense."""

    exit_code = 3


class UnusableVector(ProviderError):
    """The model answered a text with a vector that is not finite, or is all zeros. Other texts may succeed."""


class ModelMissing(ProviderError):
    """The server answers, and has no such model."""


# Reasons of InputRefused that we give, not the server: it failed with this text at every try, and then embedded another
# text. So the text is tried again later.
UNCERTAIN_REASONS = frozenset({"server_error", "timeout", "connection_lost", "unavailable", "bad_reply", "bad_vector"})


class InputRefused(VectorError):
    """The model refuses a text, which the caller quarantines. `reason` is a short code. These are permanent: too_long,
    batch_too_large (of several texts only), refused, not_unicode, empty, unknown_tokens and zero_vector. Those of
    UNCERTAIN_REASONS are tried again. `unknown_token_share`, 0 to 1, goes with unknown_tokens."""

    exit_code = 1

    def __init__(self, message: str, reason: str = "refused", unknown_token_share: float | None = None):
        super().__init__(message)
        self.reason = reason
        self.unknown_token_share = unknown_token_share


class SpaceRefused(VectorError):
    """The model that answers under a space's name is not the one that filled the space."""

    exit_code = 4


class PublicationRefused(VectorError):
    """A space may not go live, or may not be retired. Nothing was changed."""

    exit_code = 4


class CallsGivenUp(KeyboardInterrupt):
    """A second Ctrl-C or SIGTERM ended the wait for calls that the model had begun. Their threads are left to
    themselves, and what they bring is lost."""

    def __init__(self, batches: Iterable[Sized]):
        sizes = [len(texts) for texts in batches]
        super().__init__(
            f"calls that were not waited for: {len(sizes)}, with texts: {sum(sizes)}; the next run sends these again,"
            " and they may be paid for twice"
        )
