//! 8-bit RGB pictures: decoding within limits, resizing, the networks' normalisation, encoding and
//! composing grids. No tensor, no augmentation, and no picture is ever drawn here.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::LazyLock;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat, ImageReader, Limits};

use super::DataError;
use dgnet_loops::pixels as loops;

/// Mean of the channels over `ImageNet`, on pixels in [0, 1].
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of the channels over `ImageNet`, on pixels in [0, 1].
pub const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Pixels that a photo may have; more is refused before it is decoded.
const MAX_PIXELS: u64 = 64 << 20;
/// Rows or columns that a photo may have.
const MAX_SIDE: u32 = 1 << 16;
/// Bytes that decoding one photo may allocate.
const MAX_ALLOCATION: u64 = 512 << 20;
/// Bytes that a photo's file may have.
const MAX_FILE: u64 = 256 << 20;

/// A picture of 8 bits a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb8 {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height * width * 3` bytes: rows, columns, then red, green and blue.
    pub data: Vec<u8>,
}

impl Rgb8 {
    /// A picture of one colour.
    #[must_use]
    pub fn filled(height: usize, width: usize, colour: [u8; 3]) -> Self {
        let data = colour.iter().copied().cycle().take(height * width * 3).collect();
        Self { height, width, data }
    }

    /// The colour at a row and column, which must lie inside.
    #[must_use]
    pub fn pixel(&self, row: usize, column: usize) -> [u8; 3] {
        let at = (row * self.width + column) * 3;
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }
}

/// Reads and decodes a JPEG or PNG file; the content decides which, not the name.
///
/// # Errors
/// `DataError::Io` when the file cannot be read, `DataError::Decode` when it is empty, damaged, of
/// another kind, or larger than 64 megapixels.
pub fn read(path: &Path) -> Result<Rgb8, DataError> {
    decode(&read_bytes(path)?, path)
}

/// The content of a photo's file, unless it is larger than any photo.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let failed = |source| DataError::io("read", path, source);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(refused(path, format!("the file is larger than {} MB", MAX_FILE >> 20)));
    }
    Ok(bytes)
}

/// Decodes a JPEG or PNG from memory; `name` only names it in errors. Transparency is dropped.
///
/// # Errors
/// `DataError::Decode`, as for [`read`].
pub fn decode(bytes: &[u8], name: &Path) -> Result<Rgb8, DataError> {
    if bytes.is_empty() {
        return Err(refused(name, "the file is empty".to_owned()));
    }
    let (width, height) =
        reader(bytes, name)?.into_dimensions().map_err(|error| refused(name, error.to_string()))?;
    if width == 0 || height == 0 {
        return Err(refused(name, format!("it has {height} rows and {width} columns")));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS || width > MAX_SIDE || height > MAX_SIDE {
        let reason = format!("{height} x {width} pixels are more than 64 megapixels");
        return Err(refused(name, reason));
    }
    if bytes.starts_with(&[0xFF, 0xD8]) && !jpeg_is_complete(bytes) {
        return Err(refused(name, "the JPEG is truncated: no end-of-image marker".to_owned()));
    }
    let picture = reader(bytes, name)?
        .decode()
        .map_err(|error| refused(name, error.to_string()))?
        .into_rgb8();
    Ok(Rgb8 { height: height as usize, width: width as usize, data: picture.into_raw() })
}

fn refused(path: &Path, reason: String) -> DataError {
    DataError::Decode { path: path.to_owned(), reason }
}

fn reader<'a>(bytes: &'a [u8], name: &Path) -> Result<ImageReader<Cursor<&'a [u8]>>, DataError> {
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|source| DataError::io("read", name, source))?;
    if !matches!(reader.format(), Some(ImageFormat::Jpeg | ImageFormat::Png)) {
        return Err(refused(name, "it is neither a JPEG nor a PNG".to_owned()));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    Ok(reader)
}

// Decoders fill the missing rows of a cut JPEG with grey and say nothing. The end marker is looked for
// behind the headers, because a thumbnail in them has one too, and anywhere behind, because cameras
// append bytes to it. Broken headers are left to the decoder, which has the better words.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xDA;
    let mut at = 2;
    while let Some(&[0xFF, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == START_OF_SCAN {
            return bytes[at..].windows(2).any(|pair| pair == [0xFF, 0xD9]);
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    true
}

/// Resizes with an antialiased bicubic (Catmull-Rom) filter; the same size copies.
///
/// # Errors
/// `DataError::Layout` when either size is 0.
pub fn resize(picture: &Rgb8, height: usize, width: usize) -> Result<Rgb8, DataError> {
    if (picture.height, picture.width) == (height, width) {
        return Ok(picture.clone());
    }
    let failed = |reason: String| DataError::Layout {
        path: Path::new("<picture>").to_owned(),
        reason: format!(
            "cannot resize {} x {} to {height} x {width}: {reason}",
            picture.height, picture.width
        ),
        hint: "a picture needs at least one row and one column".to_owned(),
    };
    if height == 0 || width == 0 || picture.height == 0 || picture.width == 0 {
        return Err(failed("an empty picture".to_owned()));
    }
    let side = |n: usize| u32::try_from(n).map_err(|error| failed(error.to_string()));
    let source =
        ImageRef::new(side(picture.width)?, side(picture.height)?, &picture.data, PixelType::U8x3)
            .map_err(|error| failed(error.to_string()))?;
    let mut target = Image::new(side(width)?, side(height)?, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|error| failed(error.to_string()))?;
    Ok(Rgb8 { height, width, data: target.into_vec() })
}

/// Normalises to the networks' input, (pixel / 255 - mean) / std.
///
/// # Shapes
/// `3 * height * width` values: channels, rows, columns.
#[must_use]
pub fn normalise(picture: &Rgb8) -> Vec<f32> {
    let Rgb8 { height, width, data } = picture;
    let mut values = vec![0.0; 3 * height * width];
    let photo = data.as_chunks::<3>().0.chunks_exact((*width).max(1));
    for (pixels, planes) in photo.zip(rows(&mut values, *height, *width)) {
        normalise_row(pixels, planes);
    }
    values
}

/// The rows of three planes of values: those of red, green and blue.
///
/// # Shapes
/// `values`: `3 * height * width`, at least one.
pub(super) fn rows(
    values: &mut [f32],
    height: usize,
    width: usize,
) -> impl Iterator<Item = [&mut [f32]; 3]> {
    let (red, others) = values.split_at_mut(height * width);
    let (green, blue) = others.split_at_mut(height * width);
    let [red, green, blue] = [red, green, blue].map(|plane| plane.chunks_exact_mut(width.max(1)));
    red.zip(green).zip(blue).map(|((red, green), blue)| [red, green, blue])
}

/// Normalises a row of pixels into the rows of three planes.
///
/// # Shapes
/// `pixels` and each plane's row: equally many.
pub(super) fn normalise_row(pixels: &[[u8; 3]], planes: [&mut [f32]; 3]) {
    loops::spread(pixels, levels(), planes);
}

/// The normalised value of each of the 256 levels of each channel.
fn levels() -> &'static loops::Levels {
    static LEVELS: LazyLock<loops::Levels> = LazyLock::new(|| {
        std::array::from_fn(|channel| {
            std::array::from_fn(|level| (level as f32 / 255.0 - MEAN[channel]) / STD[channel])
        })
    });
    &LEVELS
}

/// The picture of normalised values, clamped to 0..=255; the inverse of [`normalise`]. Not-a-number
/// becomes 0.
///
/// # Shapes
/// `values` holds `3 * height * width` numbers; missing ones read as black.
#[must_use]
pub fn denormalise(values: &[f32], height: usize, width: usize) -> Rgb8 {
    let plane = height * width;
    let mut data = vec![0; 3 * plane];
    for channel in 0..3 {
        let source = values.iter().skip(channel * plane).take(plane);
        for (pixel, value) in data.iter_mut().skip(channel).step_by(3).zip(source) {
            let level = (value * STD[channel] + MEAN[channel]) * 255.0;
            *pixel = level.round().clamp(0.0, 255.0) as u8;
        }
    }
    Rgb8 { height, width, data }
}

/// PNG bytes of a picture.
///
/// # Errors
/// `DataError::Layout` when the picture is empty or its bytes do not match its size.
pub fn encode_png(picture: &Rgb8) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    encode_with(picture, image::codecs::png::PngEncoder::new(&mut bytes))?;
    Ok(bytes)
}

/// JPEG bytes of a picture at a quality of 1 to 100.
///
/// # Errors
/// As for [`encode_png`].
pub fn encode_jpeg(picture: &Rgb8, quality: u8) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    encode_with(picture, JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100)))?;
    Ok(bytes)
}

fn encode_with(picture: &Rgb8, encoder: impl ImageEncoder) -> Result<(), DataError> {
    let Rgb8 { height, width, data } = picture;
    let failed = |reason: String| DataError::Layout {
        path: Path::new("<picture>").to_owned(),
        reason: format!("cannot encode {height} x {width} pixels: {reason}"),
        hint: "a picture has height * width * 3 bytes, at least one pixel".to_owned(),
    };
    if data.len() != height * width * 3 || data.is_empty() {
        return Err(failed(format!("{} bytes", data.len())));
    }
    encoder
        .write_image(data, *width as u32, *height as u32, ExtendedColorType::Rgb8)
        .map_err(|error| failed(error.to_string()))
}

/// Rows of pictures on white, `gap` pixels apart and around. A column is as wide as its widest picture,
/// a row as high as its highest; short rows leave white.
#[must_use]
pub fn grid(rows: &[Vec<Rgb8>], gap: usize) -> Rgb8 {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let heights: Vec<usize> =
        rows.iter().map(|row| row.iter().map(|cell| cell.height).max().unwrap_or(0)).collect();
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width).max())
        .map(Option::unwrap_or_default)
        .collect();
    let span = |sizes: &[usize]| sizes.iter().sum::<usize>() + gap * (sizes.len() + 1);
    let mut sheet = Rgb8::filled(span(&heights), span(&widths), [255; 3]);
    let mut top = gap;
    for (row, height) in rows.iter().zip(&heights) {
        let mut left = gap;
        for (cell, width) in row.iter().zip(&widths) {
            paste(&mut sheet, cell, top, left);
            left += width + gap;
        }
        top += height + gap;
    }
    sheet
}

fn paste(sheet: &mut Rgb8, cell: &Rgb8, top: usize, left: usize) {
    let bytes = cell.width * 3;
    for row in 0..cell.height {
        let at = ((top + row) * sheet.width + left) * 3;
        sheet.data[at..at + bytes].copy_from_slice(&cell.data[row * bytes..(row + 1) * bytes]);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
