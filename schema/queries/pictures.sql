-- Quality of generated pictures by arm: nearer to the truth, PSNR, SSIM, reconstruction, where the error lies, diversity, distances
SELECT study, arm, count(DISTINCT seed) AS seeds,
       avg(value) FILTER (WHERE metric = 'swap_nearer') AS nearer,
       avg(value) FILTER (WHERE metric = 'swap_psnr') AS psnr,
       avg(value) FILTER (WHERE metric = 'swap_ssim') AS ssim,
       avg(value) FILTER (WHERE metric = 'recon_l1_ratio') AS l1_ratio,
       avg(value) FILTER (WHERE metric = 'swap_error_appearance') AS error_appearance,
       avg(value) FILTER (WHERE metric = 'swap_error_structure') AS error_structure,
       avg(value) FILTER (WHERE metric = 'swap_error_interaction') AS error_interaction,
       avg(value) FILTER (WHERE metric = 'diversity') AS diversity,
       avg(value) FILTER (WHERE metric = 'frechet_teacher') AS frechet_teacher,
       avg(value) FILTER (WHERE metric = 'fid') AS fid
FROM last_values
WHERE (:study IS NULL OR study = :study)
  AND (study, arm, seed) NOT IN (SELECT study, arm, seed FROM runs WHERE archived)
GROUP BY study, arm
HAVING l1_ratio IS NOT NULL
ORDER BY study, nearer DESC, psnr DESC
