"""Hosts that were in sync, or deployed to, are ours; unset, the mode is what it was."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_OURS = """
    SELECT host FROM confirmed
    UNION
    SELECT host FROM attempts
    WHERE outcome = 'succeeded' AND verdict IN ('deploy', 'heal')
"""
_HOSTS = """
    INSERT OR IGNORE INTO approvals (what, actor, at)
    SELECT host || ': adoption', '', CAST(strftime('%s', 'now') AS REAL) FROM (OURS)
"""
_MODE = """
    INSERT OR IGNORE INTO approvals (what, actor, at)
    SELECT 'policy.mode: auto', '', CAST(strftime('%s', 'now') AS REAL)
    WHERE EXISTS (OURS)
"""


def upgrade() -> None:
    """
    Ask nobody for what has long been so.

    A version before this one kept hosts as their commits say unless the settings said
    to report only, and asked before no first deployment.
    """
    for statement in (_HOSTS, _MODE):
        op.execute(statement.replace("OURS", _OURS))
