"""`vector`, with the tests' handlers in place of the real ones: a process that tests start and kill."""

import sys

from queue_support import do, handlers

from vector.cli import main

if __name__ == "__main__":
    with handlers(do):
        sys.exit(main(sys.argv[1:]))
