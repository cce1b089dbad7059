"""The same as `vector enqueue`, from a checkout."""

import sys

from vector.cli import main

sys.exit(main(["enqueue", *sys.argv[1:]], prog="vector"))
