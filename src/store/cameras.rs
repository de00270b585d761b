//! Pairs of cameras out of the database.

use super::db::Db;
use super::error::StoreError;
use super::rows::CameraRow;

type CameraTuple = (String, i64, i64, i64, i64, f64);

impl Db {
    /// How the runs of a study fare between cameras, by arm position, seed, query camera, gallery camera.
    pub fn camera_pairs(&mut self, study: &str) -> Result<Vec<CameraRow>, StoreError> {
        let rows: Vec<CameraTuple> = self.with("reading pairs of cameras", async |connection| {
            sqlx::query_as(
                "SELECT pairs.arm, pairs.seed, query_camera, gallery_camera, queries, mAP
                 FROM camera_pairs AS pairs
                 JOIN arm ON arm.study = pairs.study AND arm.name = pairs.arm
                 WHERE pairs.study = ?
                 ORDER BY arm.position, pairs.seed, query_camera, gallery_camera",
            )
            .bind(study)
            .fetch_all(connection)
            .await
        })?;
        Ok(rows
            .into_iter()
            .map(|(arm, seed, query_camera, gallery_camera, queries, map)| CameraRow {
                arm,
                seed: seed as u64,
                query_camera: query_camera as u32,
                gallery_camera: gallery_camera as u32,
                queries: queries as u64,
                map,
            })
            .collect())
    }
}
