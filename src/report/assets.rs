//! Texts that never change: the style, the script, what a page may do, the published numbers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::figures::theme::dark_rules;

/// The page's style.
#[must_use]
pub fn style() -> String {
    include_str!("style.css").to_owned() + &dark_rules()
}

/// Sorting and enlarging; everything is readable without it.
pub const SCRIPT: &str = include_str!("script.js");

/// The policy of a report: it shows what it carries, runs its own script and asks nothing of anybody.
#[must_use]
pub fn policy() -> String {
    let script = STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script}'"
    )
}

/// Published rank-1 / mAP in per cent (Zheng et al., CVPR 2019): features at test, then Market-1501,
/// DukeMTMC-reID, MSMT17.
pub const PUBLISHED: [[&str; 4]; 4] = [
    ["baseline = the teacher", "89.6 / 74.5", "82.0 / 65.3", "68.8 / 36.2"],
    ["primary only", "94.0 / 84.4", "85.6 / 72.7", "76.0 / 49.7"],
    ["fine only", "91.6 / 75.3", "78.7 / 61.2", "71.5 / 43.5"],
    ["both", "94.8 / 86.0", "86.6 / 74.8", "77.2 / 52.3"],
];
