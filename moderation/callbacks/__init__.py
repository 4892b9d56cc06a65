"""Callbacks: each final answer as a signed webhook, at least once, out of the table `outbox`."""
