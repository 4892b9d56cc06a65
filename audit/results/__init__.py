"""The records of `results.json`, and the findings in words."""
