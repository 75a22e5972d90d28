-- The schema of the first version. Never changed: migrations lead on from it.
CREATE TABLE attempts (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	host TEXT NOT NULL, 
	commit_id TEXT NOT NULL, 
	verdict TEXT NOT NULL, 
	source TEXT, 
	target TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	began_at FLOAT NOT NULL, 
	ended_at FLOAT, 
	outcome TEXT, 
	message TEXT NOT NULL, 
	log_lines INTEGER NOT NULL, 
	log_head_lines INTEGER NOT NULL, 
	log_head_size INTEGER NOT NULL, 
	log_tail_size INTEGER NOT NULL, 
	UNIQUE (id)
);
CREATE INDEX attempts_of_host ON attempts (host, seq);
CREATE INDEX attempts_unfinished ON attempts (outcome, seq);
CREATE TABLE statuses (
	host TEXT NOT NULL, 
	commit_id TEXT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	verdict TEXT, 
	reachable BOOLEAN NOT NULL, 
	target TEXT, 
	running TEXT, 
	drifts TEXT NOT NULL, 
	drift_since FLOAT, 
	units_desired INTEGER NOT NULL, 
	units_active INTEGER NOT NULL, 
	address TEXT NOT NULL, 
	tags TEXT NOT NULL, 
	error TEXT NOT NULL, 
	keys_desired INTEGER DEFAULT '0' NOT NULL, 
	keys_present INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (host)
);
CREATE TABLE machines (
	host TEXT NOT NULL, 
	machine_id TEXT NOT NULL, 
	boot_id TEXT NOT NULL, 
	first_seen FLOAT NOT NULL, 
	last_seen FLOAT NOT NULL, 
	declared BOOLEAN NOT NULL, 
	PRIMARY KEY (host)
);
CREATE INDEX machines_by_id ON machines (machine_id);
CREATE TABLE apart (
	host TEXT NOT NULL, 
	other TEXT NOT NULL, 
	PRIMARY KEY (host, other)
);
CREATE TABLE delivered_keys (
	host TEXT NOT NULL, 
	path TEXT NOT NULL, 
	PRIMARY KEY (host, path)
);
CREATE TABLE holds (
	host TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	since FLOAT NOT NULL, 
	until FLOAT, 
	PRIMARY KEY (host)
);
CREATE TABLE quarantines (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	host TEXT NOT NULL, 
	toplevel TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	since FLOAT NOT NULL, 
	attempt TEXT NOT NULL, 
	failures INTEGER NOT NULL
);
CREATE UNIQUE INDEX quarantines_of_host ON quarantines (host, toplevel);
CREATE TABLE approvals (
	what TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	PRIMARY KEY (what)
);
CREATE TABLE last_good (
	host TEXT NOT NULL, 
	commit_id TEXT NOT NULL, 
	desired TEXT NOT NULL, 
	PRIMARY KEY (host)
);
CREATE TABLE confirmed (
	host TEXT NOT NULL, 
	commit_id TEXT NOT NULL, 
	desired TEXT NOT NULL, 
	services TEXT NOT NULL, 
	PRIMARY KEY (host)
);
CREATE TABLE reboots (
	host TEXT NOT NULL, 
	toplevel TEXT NOT NULL, 
	PRIMARY KEY (host)
);
CREATE TABLE turns (
	what TEXT NOT NULL, 
	host TEXT NOT NULL, 
	since FLOAT NOT NULL, 
	boot_id TEXT NOT NULL, 
	PRIMARY KEY (what)
);
CREATE TABLE repository (
	id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	problem TEXT NOT NULL, 
	since FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE commits (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	id TEXT NOT NULL, 
	tree TEXT NOT NULL, 
	branch TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	author TEXT NOT NULL, 
	committed_at FLOAT NOT NULL, 
	UNIQUE (id)
);
CREATE TABLE evaluations (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	"key" TEXT NOT NULL, 
	text TEXT NOT NULL, 
	saved_at FLOAT NOT NULL, 
	UNIQUE ("key")
);
CREATE TABLE events (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at FLOAT NOT NULL, 
	kind TEXT NOT NULL, 
	host TEXT, 
	actor TEXT NOT NULL, 
	text TEXT NOT NULL
);
CREATE INDEX events_of_host ON events (host, seq);
CREATE TABLE told (
	subject TEXT NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (subject)
);
CREATE TABLE letters (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	target TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	message TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	tries INTEGER NOT NULL, 
	next_at FLOAT NOT NULL, 
	error TEXT NOT NULL, 
	ended_at FLOAT, 
	accepted BOOLEAN
);
CREATE UNIQUE INDEX letters_once ON letters (target, "key");
CREATE INDEX letters_waiting ON letters (target, ended_at, seq);
CREATE TABLE marks (
	target TEXT NOT NULL, 
	commit_id TEXT NOT NULL, 
	state TEXT NOT NULL, 
	text TEXT NOT NULL, 
	hosts TEXT NOT NULL, 
	attempt TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	version INTEGER NOT NULL, 
	tries INTEGER NOT NULL, 
	next_at FLOAT NOT NULL, 
	error TEXT NOT NULL, 
	ended_at FLOAT, 
	accepted BOOLEAN, 
	PRIMARY KEY (target, commit_id)
);
CREATE TABLE deliveries (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	digest TEXT NOT NULL, 
	at FLOAT NOT NULL, 
	UNIQUE (digest)
);
CREATE TABLE steps (
	attempt INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	began_at FLOAT NOT NULL, 
	seconds FLOAT NOT NULL, 
	error TEXT NOT NULL, 
	PRIMARY KEY (attempt, position), 
	FOREIGN KEY(attempt) REFERENCES attempts (seq) ON DELETE CASCADE
);
CREATE TABLE guards (
	attempt INTEGER NOT NULL, 
	boot_id TEXT NOT NULL, 
	baseline TEXT NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (attempt), 
	FOREIGN KEY(attempt) REFERENCES attempts (seq) ON DELETE CASCADE
);
CREATE TABLE log_lines (
	attempt INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	size INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	PRIMARY KEY (attempt, position), 
	FOREIGN KEY(attempt) REFERENCES attempts (seq) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('0007');
