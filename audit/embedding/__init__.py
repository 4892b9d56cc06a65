"""A dataset -> features, on this machine or on workers."""
