"""`embed.py`: see `--help`."""

import sys

from vector.cli import main

sys.exit(main(["embed", *sys.argv[1:]], prog="vector"))
