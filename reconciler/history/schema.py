"""
The tables, as the newest migration leaves them.

Times are seconds since the epoch. What has an order keeps it in ``seq``, since a clock
can jump. A change here needs a migration in ``migrations/versions`` and a new
`REVISION`; a test holds the two together, from the schema of the first version on.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
)
from sqlalchemy import Text as AnyText

REVISION = "0013"
"""The newest migration; four digits, so that a newer one is a greater one."""

FIRST = "0007"
"""The oldest schema that there is a way from."""

Text = AnyText().with_variant(AnyText(collation="C"), "postgresql")
"""Sorted by its bytes, as SQLite does, whatever language PostgreSQL sorts for."""

Bytes = BigInteger().with_variant(Integer, "sqlite")
"""A size, which may be more than 2 GiB; SQLite has but one kind of whole number."""

metadata = MetaData()

attempts = Table(
    "attempts",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("host", Text, nullable=False),
    Column("commit_id", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("source", Text),
    Column("target", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("outcome", Text),
    Column("message", Text, nullable=False),
    Column("log_lines", Integer, nullable=False),  # ever logged, also those left out
    Column("log_head_lines", Integer, nullable=False),
    Column("log_head_size", Integer, nullable=False),  # bytes
    Column("log_tail_size", Integer, nullable=False),  # bytes
    Index("attempts_of_host", "host", "seq"),
    Index("attempts_unfinished", "outcome", "seq"),
    sqlite_autoincrement=True,  # a number is never given out twice
)

steps = Table(
    "steps",
    metadata,
    Column(
        "attempt",
        Integer,
        ForeignKey("attempts.seq", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("error", Text, nullable=False),
)

brought = Table(
    "brought",  # what came with an attempt
    metadata,
    Column(
        "attempt",
        Integer,
        ForeignKey("attempts.seq", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("text", Text, nullable=False),  # JSON of reconciler.history.brought
    Column("pending", Boolean, nullable=False),  # it is not whole yet
    Column("told", Text, nullable=False),  # in a line, for messages
)

guards = Table(
    "guards",  # attempts with a guardian on their host
    metadata,
    Column(
        "attempt",
        Integer,
        ForeignKey("attempts.seq", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("boot_id", Text, nullable=False),  # of the host when it began
    Column("baseline", Text, nullable=False),  # JSON
    Column("reason", Text, nullable=False, server_default=""),  # of a rollback
)

log_lines = Table(
    "log_lines",
    metadata,
    Column(
        "attempt",
        Integer,
        ForeignKey("attempts.seq", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("size", Integer, nullable=False),  # bytes
    Column("text", Text, nullable=False),
    sqlite_with_rowid=False,  # the lines of one attempt lie side by side
)

statuses = Table(
    "statuses",
    metadata,
    Column("host", Text, primary_key=True),
    Column("commit_id", Text, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("verdict", Text),
    Column("reachable", Boolean, nullable=False),
    Column("target", Text),
    Column("running", Text),
    Column("drifts", Text, nullable=False),  # JSON
    Column("drift_since", Float),
    Column("units_desired", Integer, nullable=False),
    Column("units_active", Integer, nullable=False),
    Column("address", Text, nullable=False),
    Column("tags", Text, nullable=False),  # JSON
    Column("error", Text, nullable=False),
    Column("keys_desired", Integer, nullable=False, server_default="0"),
    Column("keys_present", Integer, nullable=False, server_default="0"),
)

reports = Table(
    "reports",  # the last one of each host that deploys itself
    metadata,
    Column("host", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", Float, nullable=False),  # it came, by our clock
    Column("text", Text, nullable=False),  # JSON of reconciler.reports
)

machines = Table(
    "machines",  # that answered under each name
    metadata,
    Column("host", Text, primary_key=True),
    Column("machine_id", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("first_seen", Float, nullable=False),  # in that boot, by our clock
    Column("last_seen", Float, nullable=False),
    Column("declared", Boolean, nullable=False),  # the last commit has the name
    Index("machines_by_id", "machine_id"),
)

apart = Table(
    "apart",  # names of machines with one id that were up at once in different boots
    metadata,
    Column("host", Text, primary_key=True),
    Column("other", Text, primary_key=True),
)

delivered_keys = Table(
    "delivered_keys",
    metadata,
    Column("host", Text, primary_key=True),
    Column("path", Text, primary_key=True),
)

holds = Table(
    "holds",
    metadata,
    Column("host", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float),
)

quarantines = Table(
    "quarantines",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("host", Text, nullable=False),
    Column("toplevel", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("attempt", Text, nullable=False),  # its id; attempts are pruned, this is not
    Column("failures", Integer, nullable=False),
    Index("quarantines_of_host", "host", "toplevel", unique=True),
    sqlite_autoincrement=True,
)

approvals = Table(
    "approvals",
    metadata,
    Column("what", Text, primary_key=True),
    Column("actor", Text, nullable=False),
    Column("at", Float, nullable=False),
)

last_good = Table(
    "last_good",  # what the last commit that Nix could evaluate for a host says
    metadata,
    Column("host", Text, primary_key=True),
    Column("commit_id", Text, nullable=False),
    Column("desired", Text, nullable=False),  # JSON of reconciler.desired
)

confirmed = Table(
    "confirmed",  # what a host was last in sync with
    metadata,
    Column("host", Text, primary_key=True),
    Column("commit_id", Text, nullable=False),
    Column("desired", Text, nullable=False),  # JSON of reconciler.desired
    Column("services", Text, nullable=False),  # JSON; apart, since every pass reads it
)

reboots = Table(
    "reboots",  # for which system each host was last rebooted
    metadata,
    Column("host", Text, primary_key=True),
    Column("toplevel", Text, nullable=False),
)

ways = Table(
    "ways",  # by which each host was reached, with which system; the newest last
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("host", Text, nullable=False),
    Column("toplevel", Text, nullable=False),
    Column("way", Text, nullable=False),  # JSON of reconciler.world
    Index("ways_of_host", "host", "toplevel", unique=True),
    sqlite_autoincrement=True,
)

turns = Table(
    "turns",  # what one host of the fleet does at a time, and whose turn it is
    metadata,
    Column("what", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("boot_id", Text, nullable=False),  # before it began; empty: it has not
)

workers = Table(
    "workers",  # processes that share the hosts among them; times are the database's
    metadata,
    Column("id", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("process", Integer, nullable=False),
    Column("session", Text, nullable=False),  # what PostgreSQL calls its connections
    Column("since", Float, nullable=False),
    Column("heard", Float, nullable=False),
    Column("leads", Boolean, nullable=False),
)

identity = Table(
    "identity",  # by which hosts know all who share this database: one row
    metadata,
    Column("id", Integer, primary_key=True),
    Column("driver", Text, nullable=False),
)

takes = Table(
    "takes",  # which worker has each host, by a number that only grows
    metadata,
    Column("host", Text, primary_key=True),
    Column("number", Bytes, nullable=False),
    Column("worker", Text, nullable=False),
    Index("takes_of_worker", "worker"),
)

repository = Table(
    "repository",  # how it was at the last look: one row
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("since", Float, nullable=False),
)

commits = Table(
    "commits",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("tree", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("committed_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

evaluations = Table(
    "evaluations",  # a cache: what Nix said, by what it depends on
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False, unique=True),
    Column("text", Text, nullable=False),
    Column("saved_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

lookings = Table(
    "lookings",  # what evaluations looked at, so that they need not be done again
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    Column("base", Text, nullable=False),  # JSON
    Column("answer", Text, nullable=False),  # the key of an evaluation
    Column("groups", Text, nullable=False),  # their digests, each after a space
    Column("puzzle", Text, nullable=False),
    Column("checkout", Text, nullable=False),
    Index("lookings_of_subject", "subject", "seq"),
    sqlite_autoincrement=True,
)

looked = Table(
    "looked",  # groups of files and what was there, each kept once
    metadata,
    Column("digest", Text, primary_key=True),
    Column("text", Text, nullable=False),  # JSON
)

evaluated = Table(
    "evaluated",  # how the last commit was read for each host
    metadata,
    Column("host", Text, primary_key=True),
    Column("commit_id", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("reasons", Text, nullable=False),  # JSON
    Column("at", Float, nullable=False),
    Column("seconds", Float),  # of the last real evaluation
    Column("memory", Bytes),  # bytes, likewise
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("host", Text),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("events_of_host", "host", "seq"),
    sqlite_autoincrement=True,
)

told = Table(
    "told",
    metadata,
    Column("subject", Text, primary_key=True),  # a host; empty: the repository
    Column("text", Text, nullable=False),  # JSON of reconciler.notify
)

letters = Table(
    "letters",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("target", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("message", Text, nullable=False),  # JSON
    Column("at", Float, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("error", Text, nullable=False),
    Column("ended_at", Float),  # accepted, or given up
    Column("accepted", Boolean),
    Index("letters_once", "target", "key", unique=True),
    Index("letters_waiting", "target", "ended_at", "seq"),
    sqlite_autoincrement=True,
)

marks = Table(
    "marks",
    metadata,
    Column("target", Text, primary_key=True),
    Column("commit_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("hosts", Text, nullable=False),  # JSON
    Column("attempt", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("version", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("error", Text, nullable=False),
    Column("ended_at", Float),  # accepted, or refused for good
    Column("accepted", Boolean),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)
