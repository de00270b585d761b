-- The queries that an arm ranks most otherwise than the baseline: mean average precision over their common seeds
WITH finished AS (
    SELECT cell.study, cell.arm, cell.seed, run.data_key, run.recipe, run_number.id,
           (SELECT max(step) FROM query_result WHERE run = run_number.id) AS step
    FROM cell
    JOIN run ON run.uid = cell.run_uid AND run.state = 'done'
    JOIN run_number ON run_number.uid = run.uid
    WHERE (:study IS NULL OR cell.study = :study)
      AND (cell.study, cell.arm, cell.seed) NOT IN (SELECT study, arm, seed FROM runs WHERE archived)
)
SELECT own.study, own.arm, mine.query, count(*) AS seeds, avg(theirs.ap) AS baseline_ap,
       avg(mine.ap) AS ap, avg(mine.ap - theirs.ap) AS difference
FROM finished AS own
JOIN study ON study.name = own.study AND study.baseline <> own.arm
JOIN finished AS base ON base.study = own.study AND base.arm = study.baseline AND base.seed = own.seed
 AND base.data_key = own.data_key AND base.recipe = own.recipe
JOIN query_result AS mine ON mine.run = own.id AND mine.step = own.step
JOIN query_result AS theirs ON theirs.run = base.id AND theirs.step = base.step AND theirs.query = mine.query
WHERE mine.ap IS NOT NULL AND theirs.ap IS NOT NULL AND (:arm IS NULL OR own.arm = :arm)
GROUP BY own.study, own.arm, mine.query
ORDER BY abs(avg(mine.ap - theirs.ap)) DESC, own.study, own.arm, mine.query
LIMIT 60
