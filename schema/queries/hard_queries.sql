-- The queries that most runs rank worst: mean average precision over all runs, worst first
SELECT query, count(*) AS runs, avg(ap) AS mean_ap, avg(first_hit) AS mean_first_hit
FROM query_result AS result
JOIN run_number ON run_number.id = result.run
JOIN cell ON cell.run_uid = run_number.uid
WHERE ap IS NOT NULL AND (:study IS NULL OR cell.study = :study)
  AND (cell.study, cell.arm, cell.seed) NOT IN (SELECT study, arm, seed FROM runs WHERE archived)
  AND result.step = (SELECT max(step) FROM query_result WHERE run = result.run)
GROUP BY query
ORDER BY mean_ap
LIMIT 30
