-- Hours and memory of every arm; steps taken over from shared beginnings are not in them
SELECT study, arm, count(*) AS runs, sum(wall_s) / 3600 AS wall_h, sum(cpu_s) / 3600 AS cpu_h,
       max(peak_mib) AS peak_mib
FROM runs
WHERE state = 'done' AND NOT archived AND (:study IS NULL OR study = :study)
GROUP BY study, arm
ORDER BY study, wall_h DESC
