"""The same as `vector embed`, from a checkout."""

import sys

from vector.cli import main

sys.exit(main(["embed", *sys.argv[1:]], prog="vector"))
