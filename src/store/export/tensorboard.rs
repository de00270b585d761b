//! TensorBoard's event files, written by hand: TFRecord framing with masked CRC-32C, and the three
//! messages of `tensorflow/core/util/event.proto` and `summary.proto` that a scalar takes.

/// Builds one event file.
#[derive(Debug, Default)]
pub struct Events {
    bytes: Vec<u8>,
}

impl Events {
    /// A file that begins at a time, in seconds since 1970.
    #[must_use]
    pub fn begin(wall_time: f64) -> Self {
        let mut events = Self::default();
        let mut event = double_field(1, wall_time);
        event.extend(bytes_field(3, b"brain.Event:2"));
        events.record(&event);
        events
    }

    /// Adds a scalar. TensorBoard keeps 32-bit floats, so the value is rounded to one.
    pub fn scalar(&mut self, wall_time: f64, step: i64, tag: &str, value: f64) {
        let mut item = bytes_field(1, tag.as_bytes());
        item.push(0x15); // field 2, 32 bits
        item.extend((value as f32).to_le_bytes());
        let mut event = double_field(1, wall_time);
        event.push(0x10); // field 2, varint
        event.extend(varint(step as u64));
        event.extend(bytes_field(5, &bytes_field(1, &item)));
        self.record(&event);
    }

    /// The file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Length, its checksum, data, its checksum.
    fn record(&mut self, data: &[u8]) {
        let length = (data.len() as u64).to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(masked(crc32c(&length)).to_le_bytes());
        self.bytes.extend(data);
        self.bytes.extend(masked(crc32c(data)).to_le_bytes());
    }
}

fn double_field(number: u8, value: f64) -> Vec<u8> {
    let mut field = vec![number << 3 | 1];
    field.extend(value.to_le_bytes());
    field
}

fn bytes_field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    field.extend(varint(value.len() as u64));
    field.extend(value);
    field
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78).
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes
        .iter()
        .fold(!0_u32, |crc, byte| crc >> 8 ^ TABLE[usize::from((crc ^ u32::from(*byte)) as u8)])
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut place = 0;
    while place < 256 {
        let mut word = place as u32;
        let mut bit = 0;
        while bit < 8 {
            word = if word & 1 == 1 { word >> 1 ^ 0x82F6_3B78 } else { word >> 1 };
            bit += 1;
        }
        table[place] = word;
        place += 1;
    }
    table
}

/// The mask of the record format: a checksum of data that holds checksums would be weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_file_is_what_tensorboard_writes() {
        // the same events by tensorboard 2.21's RecordWriter
        let mut events = Events::begin(1.5);
        events.scalar(2.5, 300, "mAP", 0.5);
        let hex = crate::store::export::hex(&events.finish());
        let expected = include_str!("../../../tests/fixtures/stats/events.hex").trim();
        assert_eq!(hex, expected);
    }
}
