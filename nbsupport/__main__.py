"""``python -m nbsupport``; see ``cli.app``."""

import sys

from nbsupport.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
