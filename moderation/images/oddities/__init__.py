"""What in an image file is shown otherwise by one viewer than by another, by design."""
