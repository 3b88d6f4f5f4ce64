"""`python -m app` is `longwatch`."""

import sys

from app.cli import main

sys.exit(main())
