"""Rows of the outbox -> signed webhooks, at least once."""
