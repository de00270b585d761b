-- How an arm finds people under one camera among the photos of another: means over seeds, and beside the baseline's
SELECT own.study, own.arm, own.query_camera, own.gallery_camera, count(*) AS seeds,
       avg(own.queries) AS queries, avg(own.mAP) AS mAP, avg(own.rank1) AS rank1,
       avg(own.mAP - base.mAP) AS mAP_difference
FROM camera_pairs AS own
JOIN runs AS own_run ON own_run.study = own.study AND own_run.arm = own.arm AND own_run.seed = own.seed
 AND own_run.state = 'done' AND NOT own_run.archived
JOIN study ON study.name = own.study
LEFT JOIN runs AS base_run ON base_run.study = own.study AND base_run.arm = study.baseline
 AND base_run.seed = own.seed AND base_run.state = 'done' AND NOT base_run.archived AND base_run.arm <> own.arm
 AND base_run.data_key = own_run.data_key AND base_run.recipe = own_run.recipe
LEFT JOIN camera_pairs AS base ON base.study = base_run.study AND base.arm = base_run.arm
 AND base.seed = base_run.seed AND base.query_camera = own.query_camera
 AND base.gallery_camera = own.gallery_camera
WHERE (:study IS NULL OR own.study = :study) AND (:arm IS NULL OR own.arm = :arm)
GROUP BY own.study, own.arm, own.query_camera, own.gallery_camera
ORDER BY own.study, own.arm = study.baseline DESC, own.arm, own.query_camera, own.gallery_camera
