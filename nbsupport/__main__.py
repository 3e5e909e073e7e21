"""``python -m nbsupport``; see ``cli.app``."""

from nbsupport.cli.app import main

if __name__ == "__main__":
    main()
