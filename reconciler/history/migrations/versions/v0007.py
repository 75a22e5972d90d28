"""
The first schema that anybody has; there is none before it to come from.

A new database is made from `reconciler.history.schema` at once. A test keeps this
schema as text and brings it up to date by the migrations that follow.
"""

revision = "0007"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Do nothing: whoever has this schema was given it whole."""
