"""What every part of the package agrees on: records (`models`), whose public names are here too, and their identities
(`identity`)."""

from vector.contracts.models import *  # noqa: F403
from vector.contracts.models import __all__ as __all__
