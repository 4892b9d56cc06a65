"""A reference -> the bytes of its file, from where that is allowed."""
