"""The audit log: who created, changed or deleted what.

One line at INFO on the logger `app.api.audit`, with ids in place of names and texts.
"""

import logging

from app.api.auth import Principal

_log = logging.getLogger(__name__)


def audit(principal: Principal, action: str, subject: object) -> None:
    """Log what a user did, as `deleted video`, and to which id."""
    name = principal.user.name
    _log.info("user %s %s %s", name, action, subject, extra={"user": name, "subject": str(subject)})
