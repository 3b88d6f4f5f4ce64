"""Longwatch storage."""
