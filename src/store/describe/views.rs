//! The views in words.

use super::Item;

/// Of the columns that tell of a pair of cameras.
pub(super) const CAMERAS: &[(&str, &str)] = &[
    ("query_camera", "number of the camera of the queries"),
    (
        "gallery_camera",
        "number of the camera of the gallery photos; those of all others are left out",
    ),
    ("queries", "queries with a true match there"),
    ("mAP", "mean trapezoidal average precision of those queries, 0 to 1"),
    ("rank1", "share of them whose first photo is a true match, 0 to 1"),
];

/// Every view.
pub(super) const VIEWS: &[Item] = &[
    Item {
        name: "camera_pairs",
        about: "How each cell's run finds people under one camera among the photos of another: \
                `camera_pair` with human names.",
        example: "select query_camera, gallery_camera, avg(mAP) from camera_pairs where arm = \
                  'full' group by 1, 2",
        columns: CAMERAS,
    },
    Item {
        name: "comparisons",
        about: "Every last value beside that of the baseline with the same seed, where both runs \
                are done on equal data with the same recipe version.",
        example: "select arm, avg(difference) from comparisons where metric = 'mAP' group by arm",
        columns: &[
            ("arm", "name of the arm; never the baseline"),
            ("value", "last value of the arm, in the unit of the metric; null where not finite"),
            ("baseline_value", "last value of the baseline, likewise"),
            (
                "difference",
                "`value` less `baseline_value`, in the unit of the metric; null where one of them \
                 is",
            ),
        ],
    },
    Item {
        name: "curves",
        about: "Every value along the training of every cell's run, whatever its state.",
        example: "select step, value from curves where arm = 'full' and seed = 1 and metric = \
                  'loss_total'",
        columns: &[],
    },
    Item {
        name: "final",
        about: "One line for each cell whose run is done, with the last value of common metrics: \
                null where the run does not measure it and where it is not finite.",
        example: "select arm, avg(mAP), count(*) from final group by arm",
        columns: &[],
    },
    Item {
        name: "last_values",
        about: "The last value of every metric of every cell whose run is done, one line for each \
                metric.",
        example: "select metric, value from last_values where arm = 'full' and seed = 1",
        columns: &[("step", "training steps finished when it was measured last")],
    },
    Item {
        name: "notes",
        about: "Every note on a run or a study, oldest first.",
        example: "select name, at, text from notes",
        columns: &[
            ("kind", "what the note is about: run or study"),
            ("name", "`uid` of the run, name of the study"),
            ("at", "when it was written, UTC: `YYYY-MM-DD hh:mm:ss`"),
            ("text", "the note"),
            (
                "tags",
                "tags of the run or the study, sorted, separated by spaces; empty without any",
            ),
        ],
    },
    Item {
        name: "runs",
        about: "One line for each cell: where its run stands and what people say of it; before \
                the run's folder was read, what comes from there is null.",
        example: "select arm, seed, state, step, steps from runs where study = 'ablations'",
        columns: &[
            (
                "step",
                "training steps finished, as the run's end or pause says; else those of its last \
                 metric",
            ),
            (
                "started",
                "start of the last attempt, UTC: `YYYY-MM-DD hh:mm:ss`; null before the first",
            ),
            (
                "peak_mib",
                "largest resident memory of the last attempt, MiB; null before the run is done, \
                 failed or diverged, 0 where unknown",
            ),
            ("tags", "tags of the run, sorted, separated by spaces; empty without any"),
            ("note", "the last note on the run; null without any"),
            ("archived", "1 where the run or its study is archived, else 0"),
        ],
    },
];
