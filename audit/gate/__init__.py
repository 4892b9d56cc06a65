"""Limits -> pass, fail, or insufficient data."""
