"""`python -m htgen`."""

import sys

from htgen.cli import main

sys.exit(main())
