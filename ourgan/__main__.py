"""`python -m ourgan` is the `ourgan` command."""

import sys

from ourgan.cli import main

sys.exit(main())
