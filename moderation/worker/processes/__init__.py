"""Several processes that are one worker: lines, and one that has the models."""
