-- Quality of generated pictures by arm: nearer to the truth, PSNR, SSIM, reconstruction
SELECT study, arm, count(*) AS seeds, avg(swap_nearer) AS nearer, avg(swap_psnr) AS psnr,
       avg(swap_ssim) AS ssim, avg(recon_l1_ratio) AS l1_ratio
FROM final
WHERE swap_psnr IS NOT NULL AND (:study IS NULL OR study = :study)
GROUP BY study, arm
ORDER BY study, nearer DESC
