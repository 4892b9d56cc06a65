"""The decision log: one final answer for each request, in SQLite or PostgreSQL."""
