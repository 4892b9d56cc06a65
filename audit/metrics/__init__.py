"""Features -> who is misclassified, and how label choices shift it."""
