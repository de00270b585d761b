//! What colour a point of cloth, skin or hair has, from where on the body it lies. Pure functions of
//! an appearance and a place on the body; light and pose are not known here.

use std::f32::consts::{PI, TAU};

use super::canvas::{Rgb, mix, times};
use super::factors::{
    Appearance, BagKind, Colour, HairShape, LowerCut, LowerPattern, Pattern, Place, Print, Shape,
    UpperCut,
};

/// A place on a trunk or limb.
#[derive(Debug, Clone, Copy)]
pub struct Spot {
    /// To the person's side, -1..1.
    pub side: f32,
    /// To the person's front, -1..1.
    pub front: f32,
    /// 0 at the upper end of the garment or limb, 1 at its lower end.
    pub along: f32,
}

impl Spot {
    /// Angle around the body: 0 is the middle of the front, plus or minus pi the spine.
    fn azimuth(self) -> f32 {
        self.side.atan2(self.front)
    }
}

/// 0..1 a channel.
pub fn paint(colour: Colour) -> Rgb {
    colour.0.map(|value| f32::from(value) / 255.0)
}

fn odd(value: f32) -> bool {
    value.floor().rem_euclid(2.0) >= 1.0
}

/// Whether the pattern shows its second colour; `around` counts turns around the body.
fn second(pattern: Pattern, spot: Spot, around: f32, rows: f32) -> bool {
    let turn = spot.azimuth() / TAU + 0.5;
    match pattern {
        Pattern::Plain => false,
        Pattern::Hoops => odd(spot.along * rows),
        Pattern::Stripes => odd(turn * around + 0.5),
        Pattern::Checks => odd(turn * around + 0.5) != odd(spot.along * rows * 0.75),
        Pattern::Dots => {
            let row = spot.along * rows * 0.8;
            let place = turn * around * 0.6 + if odd(row) { 0.5 } else { 0.0 };
            let (x, y) = (place.fract() - 0.5, row.fract() - 0.5);
            x * x + y * y < 0.1
        }
        Pattern::Halves => spot.along > 0.52,
        Pattern::Yoke => spot.along < 0.3,
        Pattern::Band => (0.3..0.62).contains(&spot.along),
        Pattern::Harlequin => spot.side > 0.0,
    }
}

fn printed(print: Print, spot: Spot) -> bool {
    let azimuth = spot.azimuth();
    let turn = match print.place {
        Place::Chest => azimuth,
        Place::Back => PI - azimuth.abs(),
    };
    let (x, y) = (turn / 0.7, (spot.along - 0.4) / 0.21);
    match print.shape {
        Shape::Disk => x * x + y * y < 1.0,
        Shape::Square => x.abs().max(y.abs()) < 0.88,
        Shape::Cross => x.abs().max(y.abs()) < 1.05 && x.abs().min(y.abs()) < 0.36,
    }
}

/// The trunk: garment, print, straps.
pub fn trunk(look: &Appearance, spot: Spot) -> Rgb {
    let upper = &look.upper;
    let azimuth = spot.azimuth();
    if let Some(bag) = look.bag {
        let strap = match bag.kind {
            BagKind::Backpack => {
                spot.front > 0.0 && (azimuth.abs() - 0.72).abs() < 0.17 && spot.along < 0.62
            }
            BagKind::Shoulder => (spot.side - (1.75 * spot.along - 0.85)).abs() < 0.15,
        };
        if strap {
            return times(paint(bag.colour), 0.85);
        }
    }
    // A crew neck shows a little skin at the front.
    if spot.along < 0.06 && spot.front > 0.2 {
        return paint(look.skin);
    }
    if upper.cut == UpperCut::Jacket {
        let open = 0.2 + 0.3 * spot.along;
        if azimuth.abs() < open {
            let collar = azimuth.abs() > open - 0.1;
            return times(paint(upper.second), if collar { 0.7 } else { 1.0 });
        }
    }
    if let Some(print) = upper.print
        && printed(print, spot)
        && !(upper.cut == UpperCut::Jacket && print.place == Place::Chest)
    {
        return paint(print.colour);
    }
    let hem = if spot.along > 0.965 { 0.8 } else { 1.0 };
    let other = second(upper.pattern, spot, 12.0, 6.0);
    times(paint(if other { upper.second } else { upper.main }), hem)
}

/// An arm from shoulder (0) to wrist (1); `side` is -1 or 1.
pub fn arm(look: &Appearance, side: f32, spot: Spot) -> Rgb {
    let upper = &look.upper;
    let sleeve = match upper.cut {
        UpperCut::TShirt => 0.44,
        UpperCut::LongSleeve | UpperCut::Jacket => 2.0,
        UpperCut::Vest => 0.08,
    };
    if spot.along > sleeve {
        return paint(look.skin);
    }
    let other = match upper.pattern {
        Pattern::Yoke => true,
        Pattern::Band => false,
        Pattern::Harlequin => side > 0.0,
        pattern => second(pattern, spot, 6.0, 5.0),
    };
    let edge = if sleeve - spot.along < 0.04 { 0.8 } else { 1.0 };
    times(paint(if other { upper.second } else { upper.main }), edge)
}

/// The hips and the skirt, from the waist (0) to the hem (1).
pub fn waist(look: &Appearance, spot: Spot) -> Rgb {
    let lower = &look.lower;
    let skirt = lower.cut == LowerCut::Skirt;
    let other = match lower.pattern {
        LowerPattern::Plain => false,
        LowerPattern::Seam => spot.side.abs() > 0.86,
        LowerPattern::Cuffs => skirt && spot.along > 0.62,
        LowerPattern::Hoops => skirt && odd(spot.along * 5.0),
    };
    paint(if other { lower.second } else { lower.main })
}

/// A leg from hip (0) to ankle (1); `side` is -1 or 1.
pub fn leg(look: &Appearance, side: f32, spot: Spot) -> Rgb {
    let lower = &look.lower;
    let end = match lower.cut {
        LowerCut::Trousers => 2.0,
        LowerCut::Shorts => 0.46,
        LowerCut::Skirt => 0.0,
    };
    if spot.along > end {
        return paint(look.skin);
    }
    let other = match lower.pattern {
        LowerPattern::Plain => false,
        LowerPattern::Seam => spot.side * side > 0.62,
        LowerPattern::Cuffs => spot.along > if lower.cut == LowerCut::Shorts { 0.25 } else { 0.52 },
        LowerPattern::Hoops => odd(spot.along * 6.0 + 0.5),
    };
    paint(if other { lower.second } else { lower.main })
}

/// The head as a sphere: hair, eyes, mouth, skin. `up` is -1 at the chin, 1 at the crown.
pub fn head(look: &Appearance, hair: HairShape, spot: Spot, up: f32) -> Rgb {
    let skin = paint(look.skin);
    let line = match hair {
        HairShape::Bob | HairShape::Long if spot.front > 0.3 => 0.42,
        HairShape::Bob | HairShape::Long => -1.1,
        HairShape::Cropped if spot.front > 0.0 => 0.3 + 0.35 * spot.front,
        HairShape::Cropped => 0.3 + 0.55 * spot.front,
        _ if spot.front > 0.0 => 0.02 + 0.45 * spot.front,
        _ => 0.02 + 0.8 * spot.front,
    };
    if up > line {
        return paint(look.hair);
    }
    if spot.front > 0.3 {
        let eye = (spot.side.abs() - 0.36).abs() < 0.14 && (up - 0.04).abs() < 0.1;
        if eye {
            return mix(skin, [0.08, 0.07, 0.07], 0.8);
        }
        if spot.side.abs() < 0.24 && (up + 0.52).abs() < 0.07 {
            return mix(skin, [0.5, 0.12, 0.12], 0.55);
        }
    }
    skin
}
