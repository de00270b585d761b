-- The results database: an index over the run folders, which stay the truth.
-- Times are seconds since 1970 (UTC); *_s are seconds; non-finite values are NULL with their spelling beside.

CREATE TABLE study (
    name          TEXT PRIMARY KEY,
    question      TEXT NOT NULL,
    primary_name  TEXT NOT NULL,
    equal_within  REAL NOT NULL,
    baseline      TEXT NOT NULL,
    confirm       TEXT NOT NULL,              -- JSON list of arm names
    file          TEXT NOT NULL,              -- path of the study file as given
    source        TEXT NOT NULL,              -- the study file, whole
    updated_at    REAL NOT NULL
) STRICT;

CREATE TABLE arm (
    study         TEXT NOT NULL REFERENCES study(name) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    position      INTEGER NOT NULL,           -- order in the study file, from 0
    label         TEXT NOT NULL,              -- free text for people
    overrides     TEXT NOT NULL,              -- JSON object: dotted setting -> value
    PRIMARY KEY (study, name)
) STRICT;

CREATE TABLE run (
    uid           TEXT PRIMARY KEY,
    folder        TEXT NOT NULL,              -- relative to the runs folder
    state         TEXT NOT NULL CHECK (state IN ('planned','running','done','failed','diverged','stale','interrupted')),
    attempt       INTEGER NOT NULL,
    seed          INTEGER NOT NULL,
    step          INTEGER NOT NULL,           -- last step seen
    steps         INTEGER NOT NULL,           -- steps planned
    recipe        INTEGER NOT NULL,           -- recipe version
    data_key      TEXT NOT NULL,
    settings      TEXT NOT NULL,              -- JSON, resolved
    begin         TEXT NOT NULL,              -- JSON: provenance of the last attempt (begin.json)
    failure       TEXT,
    started_at    REAL,
    ended_at      REAL,
    wall_s        REAL,
    cpu_s         REAL,
    peak_bytes    INTEGER
) STRICT;

CREATE TABLE cell (
    study         TEXT NOT NULL REFERENCES study(name) ON DELETE CASCADE,
    arm           TEXT NOT NULL,
    seed          INTEGER NOT NULL,
    run_uid       TEXT NOT NULL,
    PRIMARY KEY (study, arm, seed),
    FOREIGN KEY (study, arm) REFERENCES arm(study, name) ON DELETE CASCADE
) STRICT;

CREATE TABLE setting (
    run_uid       TEXT NOT NULL REFERENCES run(uid) ON DELETE CASCADE,
    key           TEXT NOT NULL,              -- dotted
    value         TEXT NOT NULL,              -- JSON
    PRIMARY KEY (run_uid, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE metric_name (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    unit          TEXT NOT NULL,
    direction     TEXT NOT NULL CHECK (direction IN ('higher','lower','none'))
) STRICT;

CREATE TABLE run_number (                     -- short key for metric rows
    id            INTEGER PRIMARY KEY,
    uid           TEXT NOT NULL UNIQUE REFERENCES run(uid) ON DELETE CASCADE
) STRICT;

CREATE TABLE metric (
    run           INTEGER NOT NULL REFERENCES run_number(id) ON DELETE CASCADE,
    name          INTEGER NOT NULL REFERENCES metric_name(id),
    step          INTEGER NOT NULL,
    value         REAL,                       -- NULL where not finite
    nonfinite     TEXT CHECK (nonfinite IN ('nan','inf','-inf')),
    PRIMARY KEY (run, name, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE query_result (
    run           INTEGER NOT NULL REFERENCES run_number(id) ON DELETE CASCADE,
    step          INTEGER NOT NULL,
    query         TEXT NOT NULL,              -- file name of the query
    ap            REAL,                       -- trapezoidal; NULL where no true match exists
    first_hit     INTEGER,                    -- rank of the first true match, from 1
    PRIMARY KEY (run, step, query)
) STRICT, WITHOUT ROWID;

CREATE TABLE stage (
    kind          TEXT NOT NULL,
    key           TEXT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('running','done','failed')),
    wall_s        REAL,
    bytes         INTEGER,
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_stage (
    run_uid       TEXT NOT NULL REFERENCES run(uid) ON DELETE CASCADE,
    kind          TEXT NOT NULL,
    key           TEXT NOT NULL,
    PRIMARY KEY (run_uid, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact (
    run           INTEGER NOT NULL REFERENCES run_number(id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    kind          TEXT NOT NULL,              -- swap_grid, ...
    step          INTEGER NOT NULL,
    media_type    TEXT NOT NULL,
    caption       TEXT NOT NULL,
    bytes         BLOB NOT NULL,
    PRIMARY KEY (run, name)
) STRICT;

CREATE TABLE event (
    run           INTEGER NOT NULL REFERENCES run_number(id) ON DELETE CASCADE,
    attempt       INTEGER NOT NULL,
    line          INTEGER NOT NULL,           -- number of the line in log.jsonl
    at            REAL NOT NULL,
    level         TEXT NOT NULL,
    message       TEXT NOT NULL,
    PRIMARY KEY (run, attempt, line)
) STRICT, WITHOUT ROWID;

-- how far each file of a run folder has been read; committed with what was read
CREATE TABLE ingest (
    uid           TEXT NOT NULL REFERENCES run(uid) ON DELETE CASCADE,
    file          TEXT NOT NULL,
    offset        INTEGER NOT NULL,
    lines         INTEGER NOT NULL,
    PRIMARY KEY (uid, file)
) STRICT, WITHOUT ROWID;
