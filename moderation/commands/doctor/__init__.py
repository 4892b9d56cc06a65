"""`moderation doctor`: what would keep this installation from working."""
