-- Views with human names: `select arm, avg(mAP), count(*) from final group by arm` needs no join.

-- one line per cell: where its run stands
CREATE VIEW runs AS
SELECT cell.study, cell.arm, cell.seed, run.state, run.step, run.steps, run.attempt,
       datetime(run.started_at, 'unixepoch') AS started, run.wall_s, run.cpu_s,
       run.peak_bytes / 1048576.0 AS peak_mib, run.failure, run.recipe, run.data_key,
       run.folder, cell.run_uid AS uid
FROM cell
JOIN arm ON arm.study = cell.study AND arm.name = cell.arm
LEFT JOIN run ON run.uid = cell.run_uid
ORDER BY cell.study, arm.position, cell.seed;

-- every value along training
CREATE VIEW curves AS
SELECT cell.study, cell.arm, cell.seed, metric_name.name AS metric, metric.step, metric.value
FROM cell
JOIN run_number ON run_number.uid = cell.run_uid
JOIN metric ON metric.run = run_number.id
JOIN metric_name ON metric_name.id = metric.name;

-- the last value of every metric of every finished run, one line each
CREATE VIEW last_values AS
SELECT cell.study, cell.arm, cell.seed, metric_name.name AS metric, metric.step, metric.value,
       run.data_key, run.recipe
FROM cell
JOIN run ON run.uid = cell.run_uid AND run.state = 'done'
JOIN run_number ON run_number.uid = run.uid
CROSS JOIN metric_name
JOIN metric ON metric.run = run_number.id AND metric.name = metric_name.id
           AND metric.step = (SELECT max(step) FROM metric
                              WHERE run = run_number.id AND name = metric_name.id);

-- the same with a column per metric, one line per finished cell
CREATE VIEW final AS
SELECT cell.study, cell.arm, cell.seed,
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'mAP')
        ORDER BY step DESC LIMIT 1) AS "mAP",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'mAP_standard')
        ORDER BY step DESC LIMIT 1) AS "mAP_standard",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'mINP')
        ORDER BY step DESC LIMIT 1) AS "mINP",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'rank1')
        ORDER BY step DESC LIMIT 1) AS "rank1",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'rank5')
        ORDER BY step DESC LIMIT 1) AS "rank5",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'rank10')
        ORDER BY step DESC LIMIT 1) AS "rank10",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'mAP_primary')
        ORDER BY step DESC LIMIT 1) AS "mAP_primary",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'mAP_fine')
        ORDER BY step DESC LIMIT 1) AS "mAP_fine",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'rank1_primary')
        ORDER BY step DESC LIMIT 1) AS "rank1_primary",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'rank1_fine')
        ORDER BY step DESC LIMIT 1) AS "rank1_fine",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'swap_psnr')
        ORDER BY step DESC LIMIT 1) AS "swap_psnr",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'swap_ssim')
        ORDER BY step DESC LIMIT 1) AS "swap_ssim",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'swap_nearer')
        ORDER BY step DESC LIMIT 1) AS "swap_nearer",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'recon_l1_ratio')
        ORDER BY step DESC LIMIT 1) AS "recon_l1_ratio",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'teacher_accuracy')
        ORDER BY step DESC LIMIT 1) AS "teacher_accuracy",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'loss_total')
        ORDER BY step DESC LIMIT 1) AS "loss_total",
       (SELECT value FROM metric WHERE run = run_number.id
          AND name = (SELECT id FROM metric_name WHERE metric_name.name = 'step_seconds')
        ORDER BY step DESC LIMIT 1) AS "step_seconds",
       run.wall_s, run.cpu_s, run.uid
FROM cell
JOIN run ON run.uid = cell.run_uid AND run.state = 'done'
JOIN run_number ON run_number.uid = run.uid;

-- every last value beside the baseline's of the same seed; other data or recipes are never paired
CREATE VIEW comparisons AS
SELECT arm_value.study, arm_value.arm, arm_value.seed, arm_value.metric, arm_value.value,
       baseline_value.value AS baseline_value, arm_value.value - baseline_value.value AS difference
FROM last_values AS arm_value
JOIN study ON study.name = arm_value.study
JOIN last_values AS baseline_value
  ON baseline_value.study = arm_value.study AND baseline_value.arm = study.baseline
 AND baseline_value.seed = arm_value.seed AND baseline_value.metric = arm_value.metric
 AND baseline_value.data_key = arm_value.data_key AND baseline_value.recipe = arm_value.recipe
WHERE arm_value.arm <> study.baseline;
