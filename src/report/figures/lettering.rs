//! Text on charts: glyphs of the committed font, placed at fractions of a pixel with their bearings
//! and kerning. plotters' own text drops the left bearings, which shows as gaps inside words.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, GlyphId, PxScale, ScaleFont, point};

static REGULAR: LazyLock<Option<FontRef<'static>>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../fonts/SourceSansPro-Regular.ttf")).ok()
});
static SEMIBOLD: LazyLock<Option<FontRef<'static>>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../fonts/SourceSansPro-Semibold.ttf")).ok()
});

fn font(bold: bool) -> Option<&'static FontRef<'static>> {
    if bold { SEMIBOLD.as_ref() } else { REGULAR.as_ref() }
}

/// The scale at which an em is `em` pixels (`ab_glyph` scales by ascent - descent).
fn scale(font: &FontRef<'_>, em: f32) -> PxScale {
    let units = font.units_per_em().unwrap_or(1000.0);
    PxScale::from(em * font.height_unscaled() / units)
}

/// Glyphs of a line from x = 0, and its width in pixels.
fn set(text: &str, em: f32, bold: bool) -> (Vec<(GlyphId, f32)>, f32) {
    let Some(font) = font(bold) else { return (Vec::new(), 0.0) };
    let scaled = font.as_scaled(scale(font, em));
    let (mut glyphs, mut x, mut last) = (Vec::new(), 0.0, None);
    for letter in text.chars().filter(|c| !c.is_control()) {
        if letter == '\u{2009}' {
            (x, last) = (x + em / 6.0, None); // the font has no thin space
            continue;
        }
        let id = scaled.glyph_id(letter);
        if let Some(last) = last {
            x += scaled.kern(last, id);
        }
        glyphs.push((id, x));
        x += scaled.h_advance(id);
        last = Some(id);
    }
    (glyphs, x)
}

/// Width of a line in pixels.
#[must_use]
pub fn width(text: &str, em: f32, bold: bool) -> f32 {
    set(text, em, bold).1
}

/// Calls `ink(x, y, coverage)` for every pixel of a line whose baseline starts at `(x, y)`.
pub fn draw(
    text: &str,
    em: f32,
    bold: bool,
    (x, y): (f32, f32),
    mut ink: impl FnMut(i32, i32, f32),
) {
    let Some(font) = font(bold) else { return };
    for (id, shift) in set(text, em, bold).0 {
        let glyph = Glyph { id, scale: scale(font, em), position: point(x + shift, y) };
        if let Some(outline) = font.outline_glyph(glyph) {
            let bounds = outline.px_bounds();
            let (left, top) = (bounds.min.x as i32, bounds.min.y as i32);
            outline.draw(|px, py, coverage| ink(left + px as i32, top + py as i32, coverage));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_is_usable_and_has_what_charts_write() {
        assert!(font(false).is_some() && font(true).is_some());
        for letter in "\u{2212}\u{b1}\u{2190}\u{2192}\u{2026}\u{b7}\u{d7}\u{2013}".chars() {
            let known = font(false).is_some_and(|f| f.glyph_id(letter).0 != 0);
            assert!(known, "{letter:?}");
        }
        assert!(width("mAP", 14.0, true) > width("mA", 14.0, true));
    }
}
