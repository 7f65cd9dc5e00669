"""`python -m dfclib`: the command line of cli.py."""

import sys

from dfclib.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
