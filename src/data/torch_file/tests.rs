//! Files that PyTorch wrote, and files that nobody should write.

use proptest::prelude::*;

use super::*;

const ZIP: &[u8] = include_bytes!("../../../tests/fixtures/kinds.pt");
const PROTOCOL_4: &[u8] = include_bytes!("../../../tests/fixtures/kinds_protocol4.pt");
const LEGACY: &[u8] = include_bytes!("../../../tests/fixtures/kinds_legacy.pth");

fn floats(tensor: &TorchTensor) -> Vec<f32> {
    assert_eq!(tensor.dtype, Dtype::F32);
    tensor.bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

fn eighths(numbers: impl IntoIterator<Item = u8>) -> Vec<f32> {
    numbers.into_iter().map(|number| f32::from(number) / 8.0).collect()
}

#[test]
fn every_kind_of_tensor_is_read_from_every_format() {
    let zip = parse(ZIP).unwrap();
    assert_eq!(zip.len(), 15, "{:?}", zip.keys());
    let of = |name: &str| &zip[&format!("a.{name}")];
    assert_eq!(of("f32").shape, [2, 3, 4]);
    assert_eq!(floats(of("f32")), eighths(0..24));
    assert_eq!(of("transposed").shape, [6, 4]);
    let transposed = (0..6).flat_map(|column| (0..4).map(move |row| row * 6 + column));
    assert_eq!(floats(of("transposed")), eighths(transposed));
    assert_eq!(floats(of("tail")), eighths(20..24));
    assert_eq!(floats(of("every_second")), eighths((0..24).step_by(2)));
    assert_eq!(of("f64").bytes, [1.5_f64.to_le_bytes(), (-2.25_f64).to_le_bytes()].concat());
    assert_eq!(of("f16").bytes, [0x00, 0x38, 0x00, 0xbc, 0xff, 0x7b]);
    assert_eq!(of("bf16").bytes, [0x00, 0x3f, 0x80, 0xbf, 0x40, 0x40]);
    assert_eq!(of("i64").bytes, [(-1_i64).to_le_bytes(), (1_i64 << 40).to_le_bytes()].concat());
    assert_eq!(of("i32").bytes, [(-1_i32).to_le_bytes(), (1_i32 << 30).to_le_bytes()].concat());
    assert_eq!((of("u8").dtype, of("u8").bytes.as_slice()), (Dtype::U8, [0, 255].as_slice()));
    assert_eq!(
        (of("bool").dtype, of("bool").bytes.as_slice()),
        (Dtype::Bool, [1, 0, 1].as_slice())
    );
    assert!(of("number").shape.is_empty() && of("number").bytes == 7_i64.to_le_bytes());
    assert!(of("empty").shape == [0, 5] && of("empty").bytes.is_empty());
    assert_eq!(floats(of("parameter")), [1.0; 4]);
    assert_eq!(floats(&zip["history.0.loss"]), [1.0]);
    assert!(parse(PROTOCOL_4).unwrap() == zip, "pickle protocol 4");
    assert!(parse(LEGACY).unwrap() == zip, "the format before 1.6");
}

#[test]
fn content_tells_pytorchs_files_from_safetensors() {
    assert!([ZIP, PROTOCOL_4, LEGACY].into_iter().all(is_torch));
    // a header of 640 bytes: its length begins like a pickle of protocol 2
    assert!(!is_torch(b"\x80\x02\0\0\0\0\0\0{\"model.conv1"));
    assert!(!is_torch(b"") && !is_torch(b"\x89PNG\r\n\x1a\n"));
}

/// A file of the old format around a pickle's instructions.
fn legacy(program: &[u8], storages: &[(&str, &[u8], u64)]) -> Vec<u8> {
    let mut file =
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend([b"\x80\x02", program, b".\x80\x02](".as_slice()].concat());
    for (key, ..) in storages {
        file.extend(text(key));
    }
    file.extend(b"e.");
    for (_, bytes, elements) in storages {
        file.extend(elements.to_le_bytes());
        file.extend(*bytes);
    }
    file
}

fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn long(number: i64) -> Vec<u8> {
    [b"\x8a\x08".as_slice(), &number.to_le_bytes()].concat()
}

/// `{"x": tensor}` of a float storage `0` with so many declared elements.
fn tensor(declared: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let numbers = |numbers: &[i64]| {
        let all: Vec<u8> = numbers.iter().flat_map(|&number| long(number)).collect();
        [b"(".as_slice(), &all, b"t"].concat()
    };
    [
        b"}".as_slice(),
        &text("x"),
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        &long(declared),
        b"tQ",
        &long(offset),
        &numbers(shape),
        &numbers(stride),
        b"\x89NtRs",
    ]
    .concat()
}

fn refusal(file: &[u8]) -> String {
    parse(file).unwrap_err().to_string()
}

#[test]
fn nothing_is_executed_and_every_other_name_is_refused_with_its_place() {
    let whole = refusal(include_bytes!("../../../tests/fixtures/whole_module.pt"));
    assert!(whole.contains("`torch.nn.modules.linear.Linear`"), "{whole}");
    assert!(whole.contains("byte 2") && whole.contains("state_dict()"), "{whole}");
    for (what, program, words) in [
        ("os.system", b"cposix\nsystem\n(X\x04\x00\x00\x00truetR".as_slice(), "`posix.system`"),
        ("eval", b"cbuiltins\neval\n)R", "`builtins.eval`"),
        ("by text on the stack", b"\x8c\x02os\x8c\x06system\x93)R", "`os.system`"),
        ("a storage class called", b"ctorch\nFloatStorage\n)R", "makes a storage by a call"),
        ("another rebuild", b"ctorch._utils\n_rebuild_sparse_tensor\n)R", "_rebuild_sparse_tensor"),
        ("a new object", b"ccollections\nOrderedDict\n)\x81", "NEWOBJ"),
        (
            "attributes of a class",
            b"ccollections\nOrderedDict\n}b",
            "sets attributes of a function",
        ),
        ("a call of a dictionary", b"})R", "no known function"),
        ("a text reference", b"Pname\n", "PERSID"),
        ("a reference to a file", b"X\x0b\x00\x00\x00/etc/passwdQ", "no storage"),
        ("control characters", b"cos\x1b[2J\nsystem\n", "`os\\u{1b}[2J.system`"),
    ] {
        let said = refusal(&legacy(program, &[]));
        assert!(said.contains(words), "{what}: {said}");
        assert!(said.contains("byte "), "{what}: {said}");
    }
}

#[test]
fn tensors_stay_inside_their_storages() {
    let four = [1.0_f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat();
    let file = |program: &[u8]| legacy(program, &[("0", &four, 4)]);
    let read = parse(&file(&tensor(4, 1, &[3], &[1]))).unwrap();
    assert_eq!(floats(&read["x"]), [2.0, 3.0, 4.0]);
    for (what, program, words) in [
        ("too long", tensor(4, 0, &[5], &[1]), "more elements"),
        ("too far", tensor(4, 2, &[3], &[1]), "beyond its storage"),
        ("a large stride", tensor(4, 0, &[2], &[i64::MAX]), "beyond its storage"),
        ("an overflow", tensor(4, 0, &[2, 2], &[i64::MAX, i64::MAX]), "beyond its storage"),
        ("a large offset", tensor(4, i64::MAX, &[1], &[1]), "beyond its storage"),
        ("negative offset", tensor(4, -1, &[1], &[1]), "negative"),
        ("negative stride", tensor(4, 3, &[4], &[-1]), "negative"),
        ("negative size", tensor(4, 0, &[-4], &[1]), "negative"),
        ("a repeated element", tensor(4, 0, &[1 << 40], &[0]), "more elements"),
        (
            "sizes whose product overflows",
            tensor(4, 0, &[1 << 40, 1 << 40], &[1, 1]),
            "more elements",
        ),
        ("a shorter storage", tensor(5, 0, &[5], &[1]), "another size"),
        ("a huge storage", tensor(1 << 60, 0, &[1], &[1]), "another size"),
        ("strides missing", tensor(4, 0, &[2, 2], &[1]), "stride"),
        ("many dimensions", tensor(4, 0, &[1; 40], &[1; 40]), "too many sizes"),
    ] {
        let said = refusal(&file(&program));
        assert!(said.contains(words), "{what}: {said}");
    }
    let zero = parse(&file(&tensor(4, i64::MAX, &[0, 1 << 40], &[1, 1]))).unwrap();
    assert!(zero["x"].bytes.is_empty(), "no element, nothing to lie outside");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    // each level holds the one below ten times
    let mut shared = b"}q\x00".to_vec();
    for level in 1..=12_u8 {
        shared.extend(b"(");
        shared.extend([b'h', level - 1].repeat(10));
        shared.extend([b'l', b'q', level]);
    }
    assert!(refusal(&legacy(&shared, &[])).contains("shared without end"));
    // a list that holds itself
    assert!(refusal(&legacy(b"]q\x00h\x00a", &[])).contains("without end"));
    let deep = [b"]".repeat(40), b"a".repeat(39)].concat();
    assert!(refusal(&legacy(&deep, &[])).contains("nested"));
    assert!(refusal(&legacy(&b"(".repeat(1 << 20), &[])).contains("open lists"));
    assert!(refusal(&legacy(&b"N".repeat(1 << 20), &[])).contains("at once"));
    // one storage under many names
    let bytes = vec![0; 40_000];
    let one = tensor(10_000, 0, &[10_000], &[1]);
    let call = &one[1 + 6..one.len() - 1];
    let mut many = [b"}".as_slice(), &text("0"), call, b"q\x01s"].concat();
    for name in 1..1_000 {
        many.extend([text(&name.to_string()).as_slice(), b"h\x01s"].concat());
    }
    let said = refusal(&legacy(&many, &[("0", &bytes, 10_000)]));
    assert!(said.contains("many times as large"), "{said}");
    let name = [b"}".as_slice(), &text(&"n".repeat(1 << 20)), b"}s"].concat();
    assert!(refusal(&legacy(&name, &[])).contains("512 bytes"));
    // a text that claims four gigabytes
    assert!(refusal(&legacy(b"X\xff\xff\xff\xff", &[])).contains("ends in the middle"));
}

/// A zip archive of stored entries; a method other than 0 is only claimed.
fn zip_of(entries: &[(&str, &[u8])], method: u16) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let size = (content.len() as u32).to_le_bytes();
        let common = [
            &[0, 0, 0, 0],
            &method.to_le_bytes()[..],
            &[0; 4],
            &crc32fast::hash(content).to_le_bytes(),
            &size,
            &size,
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        directory.extend([b"PK\x01\x02\0\0".as_slice(), &common, &[0; 10]].concat());
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        file.extend([b"PK\x03\x04".as_slice(), &common, name.as_bytes(), content].concat());
    }
    let (count, from) = ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
    let length = (directory.len() as u32).to_le_bytes();
    file.extend(directory);
    let end = [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &length, &from, &[0, 0]];
    file.extend(end.concat());
    file
}

fn pickled(program: &[u8]) -> Vec<u8> {
    [b"\x80\x02", program, b"."].concat()
}

#[test]
fn archives_are_taken_apart_with_care() {
    let one = pickled(&tensor(1, 0, &[1], &[1]));
    let value = 2.5_f32.to_le_bytes();
    let entries = [("m/data.pkl", one.as_slice()), ("m/data/0", &value)];
    assert_eq!(floats(&parse(&zip_of(&entries, 0)).unwrap()["x"]), [2.5]);
    let turned = 2.5_f32.to_be_bytes();
    let big = [("m/data.pkl", one.as_slice()), ("m/byteorder", b"big"), ("m/data/0", &turned)];
    assert_eq!(floats(&parse(&zip_of(&big, 0)).unwrap()["x"]), [2.5]);
    let refused = |entries: &[(&str, &[u8])]| refusal(&zip_of(entries, 0));
    assert!(refusal(&zip_of(&entries, 8)).contains("`m/data.pkl` is compressed"));
    assert!(refused(&entries[..1]).contains("storage `0`, which is not there"));
    let elsewhere = [("m/data.pkl", one.as_slice()), ("m/data/../data/0", &value)];
    assert!(refused(&elsewhere).contains("not there"), "names are not paths");
    let climbing = [("../../etc/data.pkl", one.as_slice()), ("m/data/0", &value)];
    assert!(refused(&climbing).contains("no `data.pkl`"));
    let twice = [entries[0], entries[1], entries[1]];
    assert!(refused(&twice).contains("two entries `m/data/0`"));
    let short = [("m/data.pkl", one.as_slice()), ("m/data/0", &value[..3])];
    assert!(refused(&short).contains("has 3 bytes"));
    let script = [entries[0], ("m/constants.pkl", one.as_slice())];
    assert!(refused(&script).contains("TorchScript"));
    let order = [entries[0], ("m/byteorder", b"middle")];
    assert!(refused(&order).contains("byteorder"));
    let mut flipped = zip_of(&entries, 0);
    let at = flipped.windows(4).position(|four| four == value).unwrap();
    flipped[at] ^= 1;
    assert!(refusal(&flipped).contains("checksum"));
    // the end of the directory claims more than there is
    let mut claims = zip_of(&entries, 0);
    let end = claims.len() - 22;
    claims[end + 10] = 200;
    assert!(refusal(&claims).contains("cut off"));
}

/// The directory's end moved into zip64 records, as for archives beyond 4 GiB.
#[test]
fn the_large_directory_is_read() {
    let one = pickled(&tensor(1, 0, &[1], &[1]));
    let small = zip_of(&[("m/data.pkl", &one), ("m/data/0", &2.5_f32.to_le_bytes())], 0);
    let end = small.len() - 22;
    let from = u64::from(u32_at(&small, end + 16).unwrap());
    let mut large = small[..end].to_vec();
    let record = [2_u64, 2, 0, from].map(u64::to_le_bytes).concat();
    large.extend([b"PK\x06\x06".as_slice(), &44_u64.to_le_bytes(), &[0; 12], &record].concat());
    large.extend(
        [b"PK\x06\x07\0\0\0\0".as_slice(), &(end as u64).to_le_bytes(), &[1, 0, 0, 0]].concat(),
    );
    large.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\0\0\0\0\xff\xff\xff\xff\0\0");
    assert_eq!(floats(&parse(&large).unwrap()["x"]), [2.5]);
    large[end + 48] = 0xff;
    assert!(refusal(&large).contains("cut off"));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for file in [ZIP, LEGACY] {
        for length in 0..file.len() {
            assert!(parse(&file[..length]).is_err(), "{length} of {} bytes", file.len());
        }
    }
}

fn size(tensors: &Tensors) -> usize {
    tensors.values().map(|tensor| tensor.bytes.len()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic_nor_grow(
        which in 0_usize..3,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = [ZIP, PROTOCOL_4, LEGACY][which].to_vec();
        for (at, value) in flips {
            let at = at.index(file.len());
            file[at] = value;
        }
        if let Ok(tensors) = parse(&file) {
            prop_assert!(size(&tensors) <= MAX_SHARED * file.len());
        }
    }

    /// The archive's checksum would catch most flips: here the pickle itself is flipped.
    #[test]
    fn flipped_instructions_never_panic_nor_grow(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut program = zip::program(ZIP).to_vec();
        for (at, value) in flips {
            let at = at.index(program.len());
            program[at] = value;
        }
        let zeros = [0; 96];
        let storages: Vec<(String, usize)> =
            [96, 16, 6, 6, 16, 8, 2, 3, 8, 0, 16, 4].into_iter().enumerate()
                .map(|(key, bytes)| (format!("kinds/data/{key}"), bytes)).collect();
        let mut entries = vec![("kinds/data.pkl", program.as_slice())];
        entries.extend(storages.iter().map(|(name, bytes)| (name.as_str(), &zeros[..*bytes])));
        let file = zip_of(&entries, 0);
        if let Ok(tensors) = parse(&file) {
            prop_assert!(size(&tensors) <= MAX_SHARED * file.len());
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(instructions in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&legacy(&instructions, &[]));
        let _ = parse(&zip_of(&[("m/data.pkl", &pickled(&instructions))], 0));
        let _ = parse(&[b"PK\x03\x04", instructions.as_slice()].concat());
    }
}
