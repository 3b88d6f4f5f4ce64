"""Commands that a running server does for a terminal."""
