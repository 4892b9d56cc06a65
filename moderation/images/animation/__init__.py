"""A moving picture: its single frames, drawn over each other, and which of them are looked at."""
