"""The sections of a report: each is a generator that takes results and yields blocks, if any."""
