//! Who wears what: fresh outfits, and look-alikes that differ from a relative's outfit by a detail.
//! Decides appearances only; nothing here knows poses or cameras.

use super::factors::{
    Appearance, Bag, BagKind, Colour, Hat, HatKind, Lower, LowerCut, LowerPattern, Pattern, Place,
    Print, Shape, Upper, UpperCut, pick,
};
use crate::data::rng::Rng;

const fn rgb(red: u8, green: u8, blue: u8) -> Colour {
    Colour([red, green, blue])
}

// Cloth differs in hue more than in lightness: what a grey picture tells of clothes is structure's, and
// identity must not be there.
const CHARCOAL: Colour = rgb(78, 80, 90);
const SILVER: Colour = rgb(176, 176, 172);
const GREY: Colour = rgb(128, 130, 136);
const NAVY: Colour = rgb(56, 74, 156);
const JEANS: Colour = rgb(72, 100, 148);
const RED: Colour = rgb(200, 54, 52);
const GREEN: Colour = rgb(46, 134, 72);
const BEIGE: Colour = rgb(198, 170, 128);
const BROWN: Colour = rgb(126, 84, 54);
const YELLOW: Colour = rgb(218, 172, 48);
const TEAL: Colour = rgb(44, 142, 146);

const CLOTH: [Colour; 15] = [
    CHARCOAL,
    SILVER,
    GREY,
    NAVY,
    RED,
    GREEN,
    BEIGE,
    YELLOW,
    TEAL,
    rgb(54, 110, 196),
    rgb(116, 170, 216),
    rgb(146, 46, 66),
    rgb(226, 118, 46),
    rgb(224, 132, 162),
    rgb(130, 80, 166),
];
const LEGS: [Colour; 11] = [
    CHARCOAL,
    NAVY,
    JEANS,
    BEIGE,
    BROWN,
    TEAL,
    RED,
    YELLOW,
    rgb(108, 114, 58),
    rgb(164, 82, 46),
    rgb(130, 80, 166),
];
const SHOES: [Colour; 5] = [rgb(30, 30, 36), rgb(232, 230, 222), BROWN, RED, GREY];
const SKIN: [Colour; 5] = [
    rgb(238, 198, 168),
    rgb(222, 172, 136),
    rgb(190, 138, 100),
    rgb(146, 98, 68),
    rgb(102, 68, 50),
];
const HAIR: [Colour; 6] = [
    rgb(28, 24, 24),
    rgb(62, 42, 30),
    rgb(110, 74, 42),
    rgb(198, 160, 92),
    rgb(152, 62, 34),
    rgb(156, 154, 152),
];
const PATTERNS: [Pattern; 8] = [
    Pattern::Hoops,
    Pattern::Stripes,
    Pattern::Checks,
    Pattern::Dots,
    Pattern::Halves,
    Pattern::Yoke,
    Pattern::Band,
    Pattern::Harlequin,
];

/// A colour of `from` that cannot be taken for any of `others`.
fn unlike(rng: &mut Rng, from: &[Colour], others: &[Colour]) -> Colour {
    let far = |a: Colour, b: Colour| {
        let gap: i32 = (0..3).map(|c| (i32::from(a.0[c]) - i32::from(b.0[c])).abs()).sum();
        gap >= 150
    };
    let fit: Vec<Colour> =
        from.iter().copied().filter(|&one| others.iter().all(|&other| far(one, other))).collect();
    if fit.is_empty() { pick(rng, from) } else { pick(rng, &fit) }
}

fn print(rng: &mut Rng, main: Colour, second: Colour) -> Print {
    Print {
        place: pick(rng, &[Place::Chest, Place::Back]),
        shape: pick(rng, &[Shape::Disk, Shape::Square, Shape::Cross]),
        colour: unlike(rng, &CLOTH, &[main, second]),
    }
}

fn bag(rng: &mut Rng, main: Colour) -> Bag {
    Bag {
        kind: pick(rng, &[BagKind::Backpack, BagKind::Shoulder]),
        colour: unlike(rng, &CLOTH, &[main]),
    }
}

fn hat(rng: &mut Rng) -> Hat {
    Hat { kind: pick(rng, &[HatKind::Cap, HatKind::Beanie]), colour: pick(rng, &CLOTH) }
}

/// An outfit of its own.
pub fn fresh(rng: &mut Rng) -> Appearance {
    let main = pick(rng, &CLOTH);
    let second = unlike(rng, &CLOTH, &[main]);
    let pattern = if rng.chance(0.4) { Pattern::Plain } else { pick(rng, &PATTERNS) };
    let cut = pick(
        rng,
        &[
            UpperCut::TShirt,
            UpperCut::TShirt,
            UpperCut::LongSleeve,
            UpperCut::LongSleeve,
            UpperCut::Jacket,
            UpperCut::Vest,
        ],
    );
    let printed = matches!(pattern, Pattern::Plain | Pattern::Yoke) && rng.chance(0.6);
    let lower = pick(rng, &LEGS);
    Appearance {
        skin: pick(rng, &SKIN),
        hair: pick(rng, &HAIR),
        upper: Upper {
            cut,
            main,
            second,
            pattern,
            print: printed.then(|| print(rng, main, second)),
        },
        lower: Lower {
            cut: pick(
                rng,
                &[LowerCut::Trousers, LowerCut::Trousers, LowerCut::Shorts, LowerCut::Skirt],
            ),
            main: lower,
            second: unlike(rng, &CLOTH, &[lower]),
            pattern: pick(
                rng,
                &[
                    LowerPattern::Plain,
                    LowerPattern::Plain,
                    LowerPattern::Plain,
                    LowerPattern::Plain,
                    LowerPattern::Seam,
                    LowerPattern::Cuffs,
                    LowerPattern::Hoops,
                ],
            ),
        },
        shoes: pick(rng, &SHOES),
        bag: rng.chance(0.5).then(|| bag(rng, main)),
        hat: rng.chance(0.3).then(|| hat(rng)),
    }
}

/// The `nth` relative of `first`: the same outfit but for one detail, another one for each `nth`,
/// and now and then a second, smaller one.
pub fn relative(first: &Appearance, nth: usize, rng: &mut Rng) -> Appearance {
    let mut look = first.clone();
    match nth % 5 {
        0 => {
            let others: Vec<Pattern> =
                PATTERNS.into_iter().filter(|&pattern| pattern != look.upper.pattern).collect();
            look.upper.pattern = pick(rng, &others);
        }
        1 => look.lower.main = unlike(rng, &LEGS, &[first.lower.main]),
        2 => {
            if first.bag.is_some() {
                look.bag = None;
                look.hat = if first.hat.is_some() { None } else { Some(hat(rng)) };
            } else {
                look.bag = Some(bag(rng, look.upper.main));
            }
        }
        // The same colours the other way round: no histogram can tell.
        3 => std::mem::swap(&mut look.upper.main, &mut look.upper.second),
        _ => {
            let cuts = [LowerCut::Trousers, LowerCut::Shorts, LowerCut::Skirt];
            let others: Vec<LowerCut> =
                cuts.into_iter().filter(|&cut| cut != look.lower.cut).collect();
            look.lower.cut = pick(rng, &others);
            look.lower.pattern = LowerPattern::Plain;
        }
    }
    if rng.chance(0.5) {
        look.shoes = unlike(rng, &SHOES, &[first.shoes]);
    }
    if rng.chance(0.5) {
        look.upper.print = match look.upper.print {
            Some(_) => None,
            None => Some(print(rng, look.upper.main, look.upper.second)),
        };
    }
    if rng.chance(0.6) {
        look.hair = pick(rng, &HAIR);
        look.skin = pick(rng, &SKIN);
    }
    look
}

/// `count` looks, about half of them in families of two to four look-alikes.
pub fn looks(count: usize, rng: &mut Rng) -> Vec<Appearance> {
    let mut all: Vec<Appearance> = Vec::with_capacity(count);
    while all.len() < count {
        let mut first = fresh(rng);
        while all.contains(&first) {
            first = fresh(rng);
        }
        let kin = if all.len() < count / 2 { 1 + rng.below(3) } else { 0 };
        let turn = rng.below(5);
        all.push(first.clone());
        for nth in 0..kin.min(count - all.len()) {
            let mut look = relative(&first, turn + nth, rng);
            while all.contains(&look) {
                look = relative(&first, rng.below(5), rng);
            }
            all.push(look);
        }
    }
    all
}
