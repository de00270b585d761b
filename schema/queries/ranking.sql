-- Mean, smallest and largest mAP of every arm, best first
SELECT study, arm, count(*) AS seeds, avg("mAP") AS mean, min("mAP") AS smallest, max("mAP") AS largest
FROM final
WHERE (:study IS NULL OR study = :study)
  AND (study, arm, seed) NOT IN (SELECT study, arm, seed FROM runs WHERE archived)
GROUP BY study, arm
ORDER BY study, mean DESC
