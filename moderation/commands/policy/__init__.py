"""`moderation policy ...`: one file a command, for the authors of policies."""
