"""Untrusted bytes -> pixels, in processes that can be killed."""
