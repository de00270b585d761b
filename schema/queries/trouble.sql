-- Runs that failed, diverged or stand still, with the reason
SELECT study, arm, seed, state, step, failure
FROM runs
WHERE state NOT IN ('done', 'planned') AND NOT archived AND (:study IS NULL OR study = :study)
