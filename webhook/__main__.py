"""`python -m webhook` is the command `vmguard`."""

import sys

from webhook.cli.main import main

sys.exit(main())
