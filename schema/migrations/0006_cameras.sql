-- How a run finds people under one camera among the photos of another.

CREATE TABLE camera_pair (
    run            INTEGER NOT NULL REFERENCES run_number(id) ON DELETE CASCADE,
    query_camera   INTEGER NOT NULL,          -- camera of the queries
    gallery_camera INTEGER NOT NULL,          -- camera of the gallery photos; those of all others are left out
    queries        INTEGER NOT NULL,          -- queries with a true match there
    mAP            REAL NOT NULL,             -- mean trapezoidal average precision of those queries, 0 to 1
    rank1          REAL NOT NULL,             -- share of them whose first photo is a true match, 0 to 1
    PRIMARY KEY (run, query_camera, gallery_camera)
) STRICT, WITHOUT ROWID;

-- the same with human names, one line for each pair of cameras of each run
CREATE VIEW camera_pairs AS
SELECT cell.study, cell.arm, cell.seed, camera_pair.query_camera, camera_pair.gallery_camera,
       camera_pair.queries, camera_pair.mAP, camera_pair.rank1
FROM cell
JOIN run_number ON run_number.uid = cell.run_uid
JOIN camera_pair ON camera_pair.run = run_number.id;
