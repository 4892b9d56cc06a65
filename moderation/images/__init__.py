"""A reference -> bytes -> pixels, with Pillow and numpy at most."""
