"""Migrations of the photos."""
