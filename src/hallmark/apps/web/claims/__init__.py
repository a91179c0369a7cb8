"""What no surface may say: a table of forbidden claims by state, and the checker that tests hold surfaces to.

`violations(facts, observation)` is pure. The same table judges pages, the component, mail, webhooks, the
command line and PDF files; docs/claims.md explains it.
"""

from hallmark.apps.web.claims.check import Violation, violations
from hallmark.apps.web.claims.facts import Facts, When
from hallmark.apps.web.claims.observed import Observation, Paint, Row, Run, Sign, Struck, of_json, of_text
from hallmark.apps.web.claims.rule import Rule
from hallmark.apps.web.claims.table import RULES

__all__ = [
    "RULES",
    "Facts",
    "Observation",
    "Paint",
    "Row",
    "Rule",
    "Run",
    "Sign",
    "Struck",
    "Violation",
    "When",
    "of_json",
    "of_text",
    "violations",
]
