"""The records of `results.json`, and the finding in words."""
