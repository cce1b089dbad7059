"""The same as `vector search`, from a checkout."""

import sys

from vector.cli import main

sys.exit(main(["search", *sys.argv[1:]], prog="vector"))
