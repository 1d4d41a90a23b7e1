"""``python -m tuning``: the command line."""

import sys

from tuning.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
