"""`enqueue.py`: see `--help`."""

import sys

from vector.cli import main

sys.exit(main(["enqueue", *sys.argv[1:]], prog="vector"))
