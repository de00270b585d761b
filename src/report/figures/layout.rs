//! Where names go so that none covers another. Pure arithmetic in CSS pixels.

/// An upright rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left end.
    pub left: f64,
    /// Upper end.
    pub top: f64,
    /// Right end.
    pub right: f64,
    /// Lower end.
    pub bottom: f64,
}

impl Rect {
    /// Around a point.
    #[must_use]
    pub fn around((x, y): (f64, f64), reach: f64) -> Self {
        Self { left: x - reach, top: y - reach, right: x + reach, bottom: y + reach }
    }

    /// Around an upright or level line.
    #[must_use]
    pub fn along(a: (f64, f64), b: (f64, f64), reach: f64) -> Self {
        Self {
            left: a.0.min(b.0) - reach,
            top: a.1.min(b.1) - reach,
            right: a.0.max(b.0) + reach,
            bottom: a.1.max(b.1) + reach,
        }
    }

    /// Where a line from a point to this place ends, if the place is too far from it to need none.
    #[must_use]
    pub fn lead(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let end = (x.clamp(self.left, self.right), y.clamp(self.top, self.bottom));
        ((end.0 - x).hypot(end.1 - y) > FAR[1]).then_some(end)
    }

    fn meets(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn within(&self, outer: &Self) -> bool {
        self.left >= outer.left
            && self.right <= outer.right
            && self.top >= outer.top
            && self.bottom <= outer.bottom
    }
}

/// Places near the wanted ones (ascending), at least `gap` apart, inside `low ..= high` if they fit:
/// neighbours that would overlap move as a block around their common middle.
#[must_use]
pub fn apart(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new(); // middle, members
    let within = |middle: f64, members: usize| {
        let reach = gap * (members - 1) as f64 / 2.0;
        middle.min(high - reach).max(low + reach)
    };
    for place in wanted {
        let mut block = (within(*place, 1), 1);
        while let Some((middle, members)) = blocks.last().copied() {
            if block.0 - middle >= gap * (members + block.1) as f64 / 2.0 {
                break;
            }
            blocks.pop();
            let all = members + block.1;
            let common = (middle * members as f64 + block.0 * block.1 as f64) / all as f64;
            block = (within(common, all), all);
        }
        blocks.push(block);
    }
    let spread = |(middle, members): (f64, usize)| {
        (0..members).map(move |k| middle + gap * (k as f64 - (members - 1) as f64 / 2.0))
    };
    blocks.into_iter().flat_map(spread).collect()
}

/// Between a point and its name.
const AIR: f64 = 2.0;
/// How much farther off a name may stand where there is no room beside its point.
const FAR: [f64; 7] = [0.0, 12.0, 24.0, 40.0, 60.0, 85.0, 115.0];

/// A name that looks for a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Name {
    /// Width and height.
    pub size: (f64, f64),
    /// Whether it may stand farther off, with a line to its point, rather than nowhere.
    pub insists: bool,
}

/// Places for names beside their points: the first of right, left, above, below and the corners, for those
/// that insist then farther off, that lies within the frame and meets neither a point nor a name before it;
/// the line to a name far off crosses no name either. `None` where there is none. Earlier names choose
/// first; `lines` are kept free as well.
#[must_use]
pub fn beside(
    points: &[(f64, f64)],
    names: &[Name],
    reach: f64,
    frame: Rect,
    lines: &[Rect],
) -> Vec<Option<Rect>> {
    let points_taken = points.iter().map(|at| Rect::around(*at, reach));
    let mut taken: Vec<Rect> = points_taken.chain(lines.iter().copied()).collect();
    points
        .iter()
        .zip(names)
        .map(|(at, name)| {
            let free = |place: &Rect| {
                place.within(&frame)
                    && !taken.iter().any(|other| place.meets(other))
                    && place.lead(*at).is_none_or(|end| clear(*at, end, reach, &taken))
            };
            let near = |far: f64| candidates(*at, name.size, reach + AIR + far);
            let rings = if name.insists { FAR.len() } else { 1 };
            let place = FAR.into_iter().take(rings).flat_map(near).find(free);
            let lead = place.and_then(|place| place.lead(*at));
            taken.extend(
                lead.iter().flat_map(|end| along(*at, *end)).map(|at| Rect::around(at, 1.0)),
            );
            taken.extend(place);
            place
        })
        .collect()
}

/// Whether a line from a point to its name keeps off all that is taken, but around the point itself.
fn clear(from: (f64, f64), to: (f64, f64), reach: f64, taken: &[Rect]) -> bool {
    let own = Rect::around(from, 2.0 * reach);
    along(from, to).into_iter().all(|at| {
        let spot = Rect::around(at, 0.5);
        spot.meets(&own) || !taken.iter().any(|other| spot.meets(other))
    })
}

/// Points along a line, a pixel and a half apart.
fn along(from: (f64, f64), to: (f64, f64)) -> Vec<(f64, f64)> {
    let steps = ((to.0 - from.0).hypot(to.1 - from.1) / 1.5).ceil().max(1.0);
    let at = |step: u32| {
        let share = f64::from(step) / steps;
        (from.0 + share * (to.0 - from.0), from.1 + share * (to.1 - from.1))
    };
    (1..steps as u32).map(at).collect()
}

fn candidates((x, y): (f64, f64), (width, height): (f64, f64), gap: f64) -> [Rect; 8] {
    let at = |left: f64, top: f64| Rect { left, top, right: left + width, bottom: top + height };
    let (middle, centre) = (y - height / 2.0, x - width / 2.0);
    let (above, below) = (y - gap - height, y + gap);
    let (before, after) = (x - gap - width, x + gap);
    [
        at(after, middle),
        at(before, middle),
        at(centre, above),
        at(centre, below),
        at(after - AIR, above + AIR),
        at(after - AIR, below - AIR),
        at(before + AIR, above + AIR),
        at(before + AIR, below - AIR),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(width: f64, insists: bool) -> Name {
        Name { size: (width, 12.0), insists }
    }

    #[test]
    fn names_never_overlap() {
        let places = apart(&[10.0, 10.0, 11.0, 99.0, 100.0], 15.0, 0.0, 100.0);
        assert!(places.windows(2).all(|w| w[1] - w[0] >= 15.0 - 1e-9), "{places:?}");
        assert!(places.iter().all(|p| (0.0..=100.0).contains(p)), "{places:?}");
    }

    #[test]
    fn a_name_in_a_corner_of_lines_finds_the_free_quarter() {
        let frame = Rect { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };
        let at = (90.0, 40.0);
        let lines = [Rect::along((0.0, 40.0), at, 1.0), Rect::along(at, (90.0, 100.0), 1.0)];
        let place = beside(&[at], &[name(50.0, false)], 5.0, frame, &lines)[0];
        assert_eq!(place, Some(Rect { left: 35.0, top: 23.0, right: 85.0, bottom: 35.0 }));
    }

    #[test]
    fn a_name_without_room_beside_its_point_stands_off_with_a_line() {
        let frame = Rect { left: 0.0, top: 0.0, right: 300.0, bottom: 200.0 };
        let points = [(150.0, 100.0), (150.0, 106.0), (156.0, 100.0), (144.0, 97.0)];
        let placed = |insists| {
            let places = beside(&points, &[name(80.0, insists); 4], 4.0, frame, &[]);
            places.into_iter().flatten().collect::<Vec<Rect>>()
        };
        assert!(placed(false).len() < 4);
        let places = placed(true);
        assert_eq!(places.len(), 4);
        let leads: Vec<_> = points
            .iter()
            .zip(&places)
            .filter_map(|(at, place)| Some((*at, place.lead(*at)?)))
            .collect();
        assert!(!leads.is_empty());
        for (k, place) in places.iter().enumerate() {
            assert!(place.within(&frame), "{place:?}");
            assert!(places[k + 1..].iter().all(|other| !place.meets(other)), "{place:?}");
            let crossed = leads.iter().flat_map(|(at, end)| along(*at, *end));
            assert!(crossed.into_iter().all(|at| !Rect::around(at, 0.0).meets(place)), "{place:?}");
        }
        assert_eq!(
            Rect::around((0.0, 0.0), 3.0).lead((5.0, 0.0)),
            None,
            "as near as a name can be"
        );
    }

    #[test]
    fn names_beside_points_keep_off_each_other() {
        let frame = Rect { left: 0.0, top: 0.0, right: 300.0, bottom: 200.0 };
        let points: Vec<(f64, f64)> = (0..40)
            .map(|k| (f64::from(k % 7) * 45.0 + 5.0, f64::from(k / 7) * 33.0 + 5.0))
            .chain([(150.0, 100.0); 3])
            .collect();
        let places = beside(&points, &vec![name(80.0, false); points.len()], 4.0, frame, &[]);
        let found: Vec<Rect> = places.iter().copied().flatten().collect();
        assert!((10..points.len()).contains(&found.len()), "{}", found.len());
        for (k, place) in found.iter().enumerate() {
            assert!(place.within(&frame), "{place:?}");
            assert!(found[k + 1..].iter().all(|other| !place.meets(other)), "{place:?}");
            assert!(points.iter().all(|at| !place.meets(&Rect::around(*at, 4.0))), "{place:?}");
        }
    }
}
