"""The four audits: run, compare, ablate, gate."""
