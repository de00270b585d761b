-- Notes, tags and archiving: what people say about runs and studies. `marks.json` in their folders is the truth.

CREATE TABLE mark (
    kind          TEXT NOT NULL CHECK (kind IN ('run','study')),
    name          TEXT NOT NULL,              -- uid of a run, name of a study
    tags          TEXT NOT NULL,              -- sorted, separated by spaces
    notes         TEXT NOT NULL,              -- JSON list of {at, text}, oldest first
    archived_at   REAL,                       -- NULL where it is not
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- one line per cell: where its run stands, and what people say of it
DROP VIEW runs;
CREATE VIEW runs AS
SELECT cell.study, cell.arm, cell.seed, run.state, run.step, run.steps, run.attempt,
       datetime(run.started_at, 'unixepoch') AS started, run.wall_s, run.cpu_s,
       run.peak_bytes / 1048576.0 AS peak_mib, run.failure, run.recipe, run.data_key,
       run.folder, cell.run_uid AS uid, coalesce(of_run.tags, '') AS tags,
       of_run.notes ->> '$[#-1].text' AS note,
       of_run.archived_at IS NOT NULL OR of_study.archived_at IS NOT NULL AS archived
FROM cell
JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
LEFT JOIN run ON run.uid = cell.run_uid
LEFT JOIN mark AS of_run ON of_run.kind = 'run' AND of_run.name = cell.run_uid
LEFT JOIN mark AS of_study ON of_study.kind = 'study' AND of_study.name = cell.study
ORDER BY cell.study, arm.position, cell.seed;

-- every note, oldest first
CREATE VIEW notes AS
SELECT mark.kind, mark.name, datetime(note.value ->> 'at', 'unixepoch') AS at,
       note.value ->> 'text' AS text, mark.tags
FROM mark JOIN json_each(mark.notes) AS note
ORDER BY note.value ->> 'at';
