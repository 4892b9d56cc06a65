"""The sections of a report: each module takes results and returns blocks, or none."""
