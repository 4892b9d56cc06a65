"""Features -> who is misclassified, and how the choice of labels changes that."""
