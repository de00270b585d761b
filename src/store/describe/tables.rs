//! The tables in words.

use super::Item;
use super::views::CAMERAS;

/// Every table.
pub(super) const TABLES: &[Item] = &[
    Item {
        name: "study",
        about: "The studies, each as it was planned last.",
        example: "select name, question, baseline from study",
        columns: &[
            ("name", "name of the study"),
            ("question", "what the study asks, free text"),
            ("primary_name", "name of the metric that decides"),
            (
                "equal_within",
                "differences below this do not matter, in the unit of the metric that decides",
            ),
            ("baseline", "name of the arm that the others are compared to"),
            ("confirm", "JSON list of the arms whose comparisons are corrected as one family"),
            ("file", "path of the study file as given"),
            ("source", "the study file, whole"),
            ("updated_at", "when its `study.json` was written, seconds since 1970"),
            (
                "adaptive",
                "JSON object: `min` seeds of every arm, `max` of one that stays undecided; null \
                 where seeds are given",
            ),
            (
                "prune",
                "JSON object: `after` so many seeds an exploratory arm is given up if it is so \
                 far `behind`, in the unit of the metric that decides; null where every arm gets \
                 all seeds",
            ),
        ],
    },
    Item {
        name: "arm",
        about: "The arms of every study: its named configurations.",
        example: "select name, label, overrides from arm order by study, position",
        columns: &[
            ("name", "name of the arm"),
            ("position", "order in the study file, from 0"),
            ("label", "free text for people; the name where the study file gives none"),
            ("overrides", "JSON object: dotted setting -> value"),
        ],
    },
    Item {
        name: "run",
        about: "The runs, each one training of one configuration with one seed.",
        example: "select uid, begin->>'libtorch', begin->>'processor', wall_s from run",
        columns: &[
            (
                "step",
                "training steps finished, as the run's end or pause says; else those of its last \
                 metric",
            ),
            ("settings", "JSON object: every setting, resolved"),
            (
                "begin",
                "JSON object: provenance of the last attempt, its `begin.json`; `{}` before the \
                 first",
            ),
            ("started_at", "start of the last attempt, seconds since 1970; null before the first"),
            (
                "ended_at",
                "end of the run, seconds since 1970; null before it is done, failed or diverged",
            ),
            (
                "peak_bytes",
                "largest resident memory of the last attempt, bytes; null before the run is done, \
                 failed or diverged, 0 where unknown",
            ),
        ],
    },
    Item {
        name: "cell",
        about: "The cells of every study, each an arm with a seed, and the run that answers it: \
                several cells and studies may share one.",
        example: "select run_uid, count(*) from cell group by run_uid having count(*) > 1",
        columns: &[(
            "run_uid",
            "identity of the run: `uid` in `run`, where it is missing before the run's folder was \
             read",
        )],
    },
    Item {
        name: "setting",
        about: "Every resolved setting of every run.",
        example: "select distinct value from setting where key = 'loss.lambda_img'",
        columns: &[
            ("key", "dotted name of the setting, such as `loss.lambda_img`"),
            ("value", "its value as JSON, in the unit of the setting"),
        ],
    },
    Item {
        name: "metric_name",
        about: "The metrics, with unit and direction.",
        example: "select name, unit, direction from metric_name",
        columns: &[
            ("id", "number of the metric: `name` in `metric`"),
            ("name", "name of the metric"),
            (
                "unit",
                "unit of its values, such as s or dB; empty for shares (0 to 1) and without one",
            ),
            ("direction", "which way is better: higher, lower or none"),
        ],
    },
    Item {
        name: "run_number",
        about: "A short number for each run, by which the larger tables name it.",
        example: "select id, uid from run_number",
        columns: &[("id", "number of the run: `run` in the tables that name it by number")],
    },
    Item {
        name: "metric",
        about: "Every value that the runs recorded; `curves` gives them human names.",
        example: "select count(*) from metric where nonfinite is not null",
        columns: &[
            ("name", "number of the metric: `id` in `metric_name`"),
            ("nonfinite", "nan, inf or -inf where the value is not finite, else null"),
        ],
    },
    Item {
        name: "query_result",
        about: "How the evaluation at the end of each run ranked every query, by both heads where it \
                has two.",
        example: "select query, avg(ap) from query_result group by query order by 2 limit 10",
        columns: &[
            ("step", "training steps of the weights that were evaluated"),
            ("query", "file name of the query"),
            (
                "ap",
                "trapezoidal average precision, 0 to 1; null where the gallery has no true match",
            ),
            (
                "first_hit",
                "rank of the first true match without junk, from 1; null where there is none",
            ),
        ],
    },
    Item {
        name: "stage",
        about: "The finished stages, each a piece of work that every run with the same inputs \
                shares.",
        example: "select kind, count(*), sum(wall_s) from stage group by kind",
        columns: &[
            (
                "kind",
                "data, teacher, prefix (a beginning that several trainings share), training, \
                 evaluation or pictures",
            ),
            ("key", "hash of what goes in, 32 hex digits"),
            ("state", "done: no others are listed; also where `dgnet gc` has removed it since"),
            (
                "wall_s",
                "wall time from when work on it began, or went on, to its publication, s; null \
                 where its record is missing or damaged",
            ),
            ("bytes", "size of its files, bytes; null where its record is missing or damaged"),
        ],
    },
    Item {
        name: "run_stage",
        about: "The stages that each run consists of, those included that `stage` does not list.",
        example: "select key, count(*) from run_stage where kind = 'teacher' group by key",
        columns: &[
            ("kind", "kind of the stage: `kind` in `stage`"),
            ("key", "hash of what goes into the stage, 32 hex digits: `key` in `stage`"),
        ],
    },
    Item {
        name: "artifact",
        about: "The pictures of each run, with their bytes.",
        example: "select name, media_type, length(bytes) from artifact",
        columns: &[
            ("name", "file name in the `images` folder of the run"),
            (
                "kind",
                "swap_grid (generated images) or ranked (a query and the photos ranked first for \
                 it)",
            ),
            ("step", "training steps of the weights that made it"),
            ("media_type", "image/png or image/jpeg"),
            ("caption", "what it shows, in words"),
            ("bytes", "the file, whole"),
        ],
    },
    Item {
        name: "event",
        about: "What the workers of each run logged.",
        example: "select level, message from event order by at desc limit 10",
        columns: &[
            ("attempt", "number of the attempt that logged it, from 1"),
            ("line", "number of the line in `log.jsonl`, from 1"),
            ("at", "when it was logged, seconds since 1970"),
            ("level", "info, warn or error"),
            ("message", "what happened"),
        ],
    },
    Item {
        name: "ingest",
        about: "How far each file of a run folder has been read, for the program itself.",
        example: "select file, sum(offset), sum(lines) from ingest group by file",
        columns: &[
            ("file", "name of the file in the folder of the run"),
            ("offset", "bytes read, from its beginning"),
            ("lines", "lines read; of `cameras.json`, pairs of cameras"),
        ],
    },
    Item {
        name: "mark",
        about: "Tags, notes and archiving of runs and studies, from their `marks.json`.",
        example: "select name, tags from mark where kind = 'run'",
        columns: &[
            ("kind", "what the marks are on: run or study"),
            ("name", "`uid` of the run, name of the study"),
            ("tags", "sorted, separated by spaces; empty without any"),
            ("notes", "JSON list of objects, oldest first: `at`, seconds since 1970, and `text`"),
            ("archived_at", "when it was archived, seconds since 1970; null where it is not"),
        ],
    },
    Item {
        name: "camera_pair",
        about: "How each run, at its end, finds people under one camera among the photos of \
                another.",
        example: "select query_camera, gallery_camera, avg(mAP) from camera_pair group by 1, 2",
        columns: CAMERAS,
    },
];
