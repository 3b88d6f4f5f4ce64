"""`python -m app` is `longwatch`."""

from app.cli.main import run

run()
