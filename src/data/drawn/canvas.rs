//! A floating-point picture on which shapes are painted: tiny-skia says how much of each pixel a shape
//! covers, a shader says its colour there. Knows no people.

use tiny_skia::{FillRule, Mask, Path, PathBuilder, Transform};

/// Linear-ish colour, 0..1 a channel.
pub type Rgb = [f32; 3];

/// What a painted shape means for the person's silhouette.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Scene,
    Person,
    /// In front of the person: hides it.
    Front,
}

/// A picture under work. Coordinates are in frame heights: y in 0..1 from the top, x from the left.
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<Rgb>,
    /// Share of each pixel that shows the person.
    pub cover: Vec<f32>,
    mask: Mask,
}

impl Canvas {
    /// `None` for an empty or absurdly large picture.
    pub fn new(width: usize, height: usize) -> Option<Self> {
        let mask = Mask::new(u32::try_from(width).ok()?, u32::try_from(height).ok()?)?;
        let count = width.checked_mul(height)?;
        Some(Self { width, height, pixels: vec![[0.0; 3]; count], cover: vec![0.0; count], mask })
    }

    /// Paints one shape.
    pub fn fill(
        &mut self,
        path: &Path,
        layer: Layer,
        opacity: f32,
        shade: &dyn Fn(f32, f32) -> Rgb,
    ) {
        let scale = self.height as f32;
        let bounds = path.bounds();
        let clip = |low: f32, high: f32, end: usize| {
            let first = (low * scale - 1.0).floor().max(0.0) as usize;
            first.min(end)..((high * scale + 1.0).ceil().max(0.0) as usize).min(end)
        };
        let columns = clip(bounds.left(), bounds.right(), self.width);
        let rows = clip(bounds.top(), bounds.bottom(), self.height);
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        self.mask.clear();
        self.mask.fill_path(path, FillRule::Winding, true, Transform::from_scale(scale, scale));
        for row in rows {
            for column in columns.clone() {
                let at = row * self.width + column;
                let alpha = f32::from(self.mask.data()[at]) / 255.0 * opacity;
                if alpha <= 0.0 {
                    continue;
                }
                let ink = shade((column as f32 + 0.5) / scale, (row as f32 + 0.5) / scale);
                for (old, new) in self.pixels[at].iter_mut().zip(ink) {
                    *old += (new - *old) * alpha;
                }
                match layer {
                    Layer::Scene => {}
                    Layer::Person => self.cover[at] += (1.0 - self.cover[at]) * alpha,
                    Layer::Front => self.cover[at] *= 1.0 - alpha,
                }
            }
        }
    }
}

/// A closed polygon; `None` when it is degenerate.
pub fn polygon(points: &[[f32; 2]]) -> Option<Path> {
    let mut path = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    path.move_to(first[0], first[1]);
    for point in rest {
        path.line_to(point[0], point[1]);
    }
    path.close();
    path.finish()
}

/// An upright ellipse.
pub fn ellipse(centre: [f32; 2], radius: [f32; 2]) -> Option<Path> {
    let points: Vec<[f32; 2]> = (0..28)
        .map(|step| {
            let (sin, cos) = (step as f32 / 28.0 * std::f32::consts::TAU).sin_cos();
            [centre[0] + radius[0] * cos, centre[1] + radius[1] * sin]
        })
        .collect();
    polygon(&points)
}

/// The hull of two disks.
pub fn capsule(from: [f32; 2], to: [f32; 2], radii: [f32; 2]) -> Option<Path> {
    let heading = (to[1] - from[1]).atan2(to[0] - from[0]);
    let arc = |centre: [f32; 2], radius: f32, start: f32| {
        (0..=10).map(move |step| {
            let (sin, cos) = (start + step as f32 / 10.0 * std::f32::consts::PI).sin_cos();
            [centre[0] + radius * cos, centre[1] + radius * sin]
        })
    };
    let half = std::f32::consts::FRAC_PI_2;
    let points: Vec<[f32; 2]> =
        arc(from, radii[0], heading + half).chain(arc(to, radii[1], heading - half)).collect();
    polygon(&points)
}

/// `a` towards `b`.
pub fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    [0, 1, 2].map(|channel| a[channel] + (b[channel] - a[channel]) * share)
}

/// Every channel times `factor`.
pub fn times(a: Rgb, factor: f32) -> Rgb {
    a.map(|value| value * factor)
}

/// Hash of a lattice point, uniform in 0..1.
pub fn hash(seed: u64, x: i64, y: i64) -> f32 {
    let mut z = seed
        ^ (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ (y as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    z = (z ^ (z >> 31)).wrapping_mul(0x7FB5_D329_728E_A185);
    z = (z ^ (z >> 27)).wrapping_mul(0x81DA_DEF4_BC2D_D44D);
    ((z ^ (z >> 33)) >> 40) as f32 / (1_u64 << 24) as f32
}

/// Smooth noise with cells of size 1, in 0..1.
pub fn noise(seed: u64, x: f32, y: f32) -> f32 {
    let (column, row) = (x.floor(), y.floor());
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (ease(x - column), ease(y - row));
    let (column, row) = (column as i64, row as i64);
    let line = |row| {
        let left = hash(seed, column, row);
        left + (hash(seed, column + 1, row) - left) * u
    };
    let top = line(row);
    top + (line(row + 1) - top) * v
}
