"""Results as pages that stand alone: charts, points and reasons in one file."""

from virtlab.reports.html.league_page import league_page
from virtlab.reports.html.page import class_page, submission_page

__all__ = ["class_page", "league_page", "submission_page"]
