"""`python -m app` is `longwatch`."""

import sys

from app.cli.main import main

sys.exit(main())
