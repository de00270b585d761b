use super::*;

fn gradient(height: usize, width: usize) -> Rgb8 {
    let data = (0..height * width)
        .flat_map(|at| [(at % width * 255 / width) as u8, (at / width * 255 / height) as u8, 90])
        .collect();
    Rgb8 { height, width, data }
}

fn reason(bytes: &[u8]) -> String {
    decode(bytes, Path::new("0001_c1s1_0_0.jpg")).unwrap_err().to_string()
}

/// A PNG header that promises a picture of this size, and nothing behind it.
fn huge_png(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = chunk.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    });
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(chunk);
    bytes.extend((!crc).to_be_bytes());
    bytes.extend(b"\0\0\0\x04IDAT\0\0\0\0\0\0\0\0");
    bytes
}

#[test]
fn png_is_exact_and_jpeg_close() {
    let picture = gradient(40, 24);
    assert_eq!(decode(&encode_png(&picture).unwrap(), Path::new("x")).unwrap(), picture);
    let jpeg = decode(&encode_jpeg(&picture, 95).unwrap(), Path::new("x")).unwrap();
    let worst = jpeg.data.iter().zip(&picture.data).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst.unwrap() < 16, "{worst:?}");
}

#[test]
fn damaged_files_are_refused_by_name_at_every_length() {
    let picture = gradient(64, 32);
    for bytes in [encode_jpeg(&picture, 90).unwrap(), encode_png(&picture).unwrap()] {
        for length in (0..bytes.len() - 13).step_by(7) {
            let message = reason(&bytes[..length]);
            assert!(message.contains("0001_c1s1_0_0.jpg"), "{length}: {message}");
        }
    }
    assert!(reason(b"").contains("empty"));
    assert!(reason(b"<html>404 not found</html>").contains("neither a JPEG nor a PNG"));
}

#[test]
fn flipped_bytes_never_panic() {
    let jpeg = encode_jpeg(&gradient(64, 32), 90).unwrap();
    let png = encode_png(&gradient(64, 32)).unwrap();
    for at in 0..jpeg.len().min(png.len()) {
        for bytes in [&jpeg, &png] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x5A;
            let _ = decode(&bytes, Path::new("x"));
        }
    }
}

#[test]
fn a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded() {
    assert!(reason(&huge_png(60_000, 60_000)).contains("64 megapixels"));
    assert!(!reason(&huge_png(4_000_000_000, 4_000_000_000)).is_empty());
    assert!(!reason(&huge_png(64, 64)).is_empty());
}

#[test]
fn a_missing_file_is_an_error_with_its_path() {
    let message = read(Path::new("/nowhere/0001_c1s1_0_0.jpg")).unwrap_err().to_string();
    assert!(message.contains("/nowhere/0001_c1s1_0_0.jpg"), "{message}");
}

#[test]
fn resizing_is_antialiased_and_keeps_flat_colour() {
    let flat = Rgb8::filled(50, 31, [10, 200, 77]);
    assert_eq!(resize(&flat, 17, 9).unwrap(), Rgb8::filled(17, 9, [10, 200, 77]));
    let mut stripes = Rgb8::filled(64, 64, [0; 3]);
    for (at, value) in stripes.data.iter_mut().enumerate() {
        *value = if at / 3 % 2 == 0 { 0 } else { 255 };
    }
    let small = resize(&stripes, 16, 16).unwrap();
    assert!(small.pixel(8, 8).iter().all(|&value| value.abs_diff(128) < 8));
    assert!(resize(&flat, 0, 9).is_err());
}

#[test]
fn normalisation_is_per_channel_and_inverts() {
    let picture = gradient(6, 5);
    let values = normalise(&picture);
    let expected = (f32::from(picture.pixel(2, 3)[1]) / 255.0 - 0.456) / 0.224;
    assert!((values[30 + 2 * 5 + 3] - expected).abs() < 1e-6);
    assert_eq!(denormalise(&values, 6, 5), picture);
    let wild = denormalise(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], 1, 1);
    assert_eq!(wild.data, [0, 255, 0]);
}

#[test]
fn a_grid_keeps_its_cells_apart() {
    let cell = Rgb8::filled(2, 3, [9; 3]);
    let sheet = grid(&[vec![cell.clone(), cell.clone()], vec![cell]], 1);
    assert_eq!((sheet.height, sheet.width), (7, 9));
    assert_eq!(sheet.pixel(1, 1), [9; 3]);
    assert_eq!(sheet.pixel(1, 4), [255; 3]);
    assert_eq!(sheet.pixel(4, 5), [255; 3]);
    assert_eq!(grid(&[], 2), Rgb8::filled(2, 2, [255; 3]));
}
