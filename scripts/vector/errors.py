"""Errors that name the thing, what is wrong and what to do, each with the exit code of a command it ends."""


class VectorError(Exception):
    """Base of every error this package raises on purpose. `exit_code` is what a command exits with."""

    exit_code = 2


class ConfigurationError(VectorError):
    """A profile, target, space, option or environment variable is missing or wrong."""


class DatabaseBusy(ConfigurationError):
    """Another process has the database open, and will let it go."""


class DatabaseFailed(VectorError):
    """The database could not go on: its disk is full, or an error inside has ended it. What was committed before is
    stored. `lost`: another session's error was the cause, so that what was rolled back may do well when tried again."""

    exit_code = 70

    def __init__(self, message: str, lost: bool = False):
        super().__init__(message)
        self.lost = lost


class UnusableInput(ConfigurationError):
    """The input of a job names what there is not, a space, query set or run say, or what does not go together: the next
    attempt would find it so again."""


class SpaceBusy(ConfigurationError):
    """Another session embeds into the space."""


class InvalidRecord(VectorError, ValueError):
    """A record was refused before anything was written: wrong length, not finite, unknown key, bad hash."""


class SourceUnreadable(VectorError):
    """A source's text cannot be had: its file is gone, is not UTF-8, or is not of the format that was named."""


class ExtractionLimit(SourceUnreadable):
    """A source takes more time, memory or room than one may. It would do so again: nothing is tried again."""


class ProviderError(VectorError):
    """A model could not be used: the server is down, the model is missing, the reply makes no sense."""

    exit_code = 3


class UnusableVector(ProviderError):
    """The model answered a text with a vector that is not finite or of zeros only; it may do better with others."""


class ModelMissing(ProviderError):
    """The server answers, and has no such model."""


# Reasons of InputRefused that no server gave: it failed with the text, again and again, and did not with another one.
# The text may do better another day.
UNCERTAIN_REASONS = frozenset({"server_error", "timeout", "connection_lost", "unavailable", "bad_reply", "bad_vector"})


class InputRefused(VectorError):
    """The model refuses a text; the caller quarantines it. `reason` is a short code: too_long, batch_too_large (of
    several texts only), refused, not_unicode, empty, unknown_tokens or zero_vector, for good, or one of
    UNCERTAIN_REASONS. `unknown_token_share`, 0 to 1, goes with unknown_tokens."""

    exit_code = 1

    def __init__(self, message: str, reason: str = "refused", unknown_token_share: float | None = None):
        super().__init__(message)
        self.reason = reason
        self.unknown_token_share = unknown_token_share


class SpaceRefused(VectorError):
    """An embedding space cannot be served by the model that answers under its name."""

    exit_code = 4


class PublicationRefused(VectorError):
    """A space may not go live, or be retired, as things are. Nothing was changed."""

    exit_code = 4
