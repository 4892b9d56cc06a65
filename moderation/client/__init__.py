"""The host's side: submits images and collects verdicts."""
