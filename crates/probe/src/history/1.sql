CREATE TABLE run (
    run INTEGER PRIMARY KEY,
    started TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    device TEXT NOT NULL,
    description TEXT NOT NULL,
    command TEXT NOT NULL,
    header TEXT NOT NULL,
    roofline TEXT NOT NULL,
    UNIQUE (description, started, commit_id, command)
) STRICT;

CREATE TABLE problem (
    problem INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run ON DELETE CASCADE,
    op TEXT NOT NULL,
    title TEXT NOT NULL,
    key TEXT NOT NULL,
    detail TEXT NOT NULL,
    m INTEGER NOT NULL,
    n INTEGER NOT NULL,
    k INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    flops INTEGER NOT NULL,
    floor_us REAL
) STRICT;
CREATE INDEX problem_run ON problem (run);

CREATE TABLE entry (
    entry INTEGER PRIMARY KEY,
    problem INTEGER NOT NULL REFERENCES problem ON DELETE CASCADE,
    variant TEXT NOT NULL,
    target TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    state TEXT NOT NULL,
    cold_us REAL,
    hot_us REAL,
    outcome TEXT NOT NULL
) STRICT;
CREATE INDEX entry_problem ON entry (problem);
CREATE INDEX entry_variant ON entry (variant);
