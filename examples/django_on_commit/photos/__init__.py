"""Photos that are shown only when published."""
