"""Features -> scores -> decision -> verdict."""
