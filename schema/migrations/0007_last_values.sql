-- The same views, asking by one seek a series: joined to `metric` itself, every value would be looked at.
DROP VIEW comparisons;
DROP VIEW last_values;

-- the last value of every metric of every finished run, one line each
CREATE VIEW last_values AS
SELECT study, arm, seed, metric, step,
       (SELECT value FROM metric
        WHERE run = series.run AND name = series.name AND step = series.step) AS value,
       data_key, recipe
FROM (SELECT cell.study, cell.arm, cell.seed, metric_name.name AS metric, run_number.id AS run,
             metric_name.id AS name, run.data_key, run.recipe,
             (SELECT max(step) FROM metric
              WHERE run = run_number.id AND name = metric_name.id) AS step
      FROM cell
      JOIN run ON run.uid = cell.run_uid AND run.state = 'done'
      JOIN run_number ON run_number.uid = cell.run_uid
      CROSS JOIN metric_name) AS series
WHERE step IS NOT NULL;

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
