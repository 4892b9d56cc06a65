"""The drawings of a report: each function takes rows of results and returns an inline SVG."""
