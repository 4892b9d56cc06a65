"""Intervals, tests of significance, and how many images a claim needs."""
