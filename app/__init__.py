"""Longwatch app."""
