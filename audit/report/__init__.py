"""The report of an audit: one page, its Markdown, and the tables, all from one `Results`."""

from audit.report.writing import write_report

__all__ = ["write_report"]
