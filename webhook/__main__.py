"""`python -m webhook` is the command `vmguard`."""

import sys

from webhook.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
