"""The same as `vector worker`, from a checkout."""

import sys

from vector.cli import main

sys.exit(main(["worker", *sys.argv[1:]], prog="vector"))
