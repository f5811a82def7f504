"""Named evidence: for each name in the law files, the facts that the records give.

A query never guesses: what nobody recorded comes out as a fact without a value, with the place
where it should have stood.
"""

from thrive.governance.evidence import about_data, after, building, general
from thrive.governance.evidence.registry import QUERIES, Query

__all__ = ["QUERIES", "Query", "about_data", "after", "building", "general"]
