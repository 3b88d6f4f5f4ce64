"""Commands by what they are about; `app/cli/main.py` puts them together.

Decision: each file holds its own Typer group, and nothing heavy is imported before a command
runs, because `--help` has to answer at once.
"""
