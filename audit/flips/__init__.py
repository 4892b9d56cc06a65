"""Which pictures get another action under another policy, and whose they are."""
