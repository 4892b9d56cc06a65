"""Features kept by the hash of what was embedded."""
