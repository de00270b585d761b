//! The zip format of `torch.save` since 1.6: `<archive>/data.pkl`, `<archive>/data/<key>` and
//! `<archive>/byteorder`, all stored without compression. The archive is an index into bytes that are in
//! memory; no entry ever becomes a file, so its name can do no harm.

use std::collections::BTreeMap;

use super::{Archive, Refusal, pickle, u16_at, u32_at, u64_at};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
/// Bytes of the end record without its comment, and the longest comment.
const END_BYTES: usize = 22;
const MAX_COMMENT: usize = 65_535;
/// Entries that an archive may have.
const MAX_ENTRIES: u64 = 1 << 18;
/// Bytes of an entry's name.
const MAX_NAME: usize = 1_024;

/// Whether these bytes begin a zip archive.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    u32_at(bytes, 0) == Some(LOCAL)
}

/// Reads the directory and the pickle of an archive.
pub(super) fn open(bytes: &[u8]) -> Result<Archive<'_>, Refusal> {
    let entries = entries(bytes)?;
    let programs: Vec<&str> = entries
        .keys()
        .filter_map(|name| name.strip_suffix("/data.pkl"))
        .filter(|archive| !archive.contains('/'))
        .collect();
    let &[archive] = programs.as_slice() else {
        return Err(Refusal::damaged("it has no `data.pkl`, so `torch.save` did not write it"));
    };
    let entry = |name: &str| entries.get(&format!("{archive}/{name}")).copied();
    if entry("constants.pkl").is_some() {
        let hint = "it holds code; load it in PyTorch and save its `state_dict()`";
        return Err(Refusal { hint, ..Refusal::not_plain("it is a TorchScript archive") });
    }
    let big_endian = match entry("byteorder") {
        None | Some(b"little") => false,
        Some(b"big") => true,
        Some(_) => return Err(Refusal::damaged("its `byteorder` is neither little nor big")),
    };
    let data = entry("data.pkl").unwrap_or_default();
    if data.len() > pickle::MAX_PICKLE {
        return Err(Refusal::not_plain("its pickle has more than 16 MiB"));
    }
    let program = pickle::run(data, 0)?;
    let below = format!("{archive}/data/");
    let storages = entries
        .iter()
        .filter_map(|(name, bytes)| Some((name.strip_prefix(&below)?.to_owned(), *bytes)))
        .collect();
    Ok(Archive { program, storages, big_endian })
}

fn cut() -> Refusal {
    Refusal::damaged("the archive is cut off or its directory is damaged")
}

/// Name -> bytes of every entry.
fn entries(bytes: &[u8]) -> Result<BTreeMap<String, &[u8]>, Refusal> {
    let (count, from) = directory(bytes)?;
    let mut entries = BTreeMap::new();
    let mut at = from;
    // entries that overlap would let a small file hold more than its size
    let mut left = bytes.len();
    for _ in 0..count {
        let (name, content, next) = entry(bytes, at)?;
        left = left.checked_sub(content.len()).ok_or_else(cut)?;
        if entries.insert(name.clone(), content).is_some() {
            return Err(
                Refusal::damaged(format!("it has two entries `{}`", name.escape_debug())).at(at)
            );
        }
        at = next;
    }
    Ok(entries)
}

/// Number of entries and where their directory begins.
fn directory(bytes: &[u8]) -> Result<(u64, usize), Refusal> {
    let last = bytes.len().checked_sub(END_BYTES).ok_or_else(cut)?;
    let first = last.saturating_sub(MAX_COMMENT);
    let is_end = |&at: &usize| {
        u32_at(bytes, at) == Some(END)
            && u16_at(bytes, at + 20)
                .is_some_and(|comment| at + END_BYTES + usize::from(comment) == bytes.len())
    };
    let end = (first..=last).rev().find(is_end).ok_or_else(cut)?;
    let short = (
        u16_at(bytes, end + 10).map(u64::from).ok_or_else(cut)?,
        u32_at(bytes, end + 16).map(u64::from).ok_or_else(cut)?,
    );
    let (count, from) = if short.0 == 0xffff || short.1 == 0xffff_ffff {
        let locator = end.checked_sub(20).filter(|&at| u32_at(bytes, at) == Some(LOCATOR_64));
        let place = locator.and_then(|at| u64_at(bytes, at + 8)).ok_or_else(cut)?;
        let place = usize::try_from(place).map_err(|_| cut())?;
        if u32_at(bytes, place) != Some(END_64) {
            return Err(cut());
        }
        let of = |at: usize| u64_at(bytes, place.checked_add(at)?);
        (of(32).ok_or_else(cut)?, of(48).ok_or_else(cut)?)
    } else {
        short
    };
    if count > MAX_ENTRIES {
        return Err(Refusal::not_plain("it has more entries than any network needs"));
    }
    Ok((count, usize::try_from(from).map_err(|_| cut())?))
}

/// The entry whose directory record begins at `at`: name, bytes, and where the next record begins.
fn entry(bytes: &[u8], at: usize) -> Result<(String, &[u8], usize), Refusal> {
    let broken = || cut().at(at);
    if u32_at(bytes, at) != Some(CENTRAL) {
        return Err(broken());
    }
    let short = |offset: usize| u16_at(bytes, at + offset).map(usize::from).ok_or_else(broken);
    let long = |offset: usize| u32_at(bytes, at + offset).ok_or_else(broken);
    let (flags, method) = (short(8)?, short(10)?);
    let (crc, packed, size) = (long(16)?, long(20)?, long(24)?);
    let (name_bytes, extra_bytes, comment_bytes) = (short(28)?, short(30)?, short(32)?);
    let local = long(42)?;
    let name_at = at + 46;
    let extra_at = name_at + name_bytes;
    let name = bytes.get(name_at..extra_at).ok_or_else(broken)?;
    let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= MAX_NAME);
    let name =
        name.ok_or_else(|| Refusal::damaged("an entry's name is no text").at(at))?.to_owned();
    let extra = bytes.get(extra_at..extra_at + extra_bytes).ok_or_else(broken)?;
    let [size, packed, local] = zip64(extra, [size, packed, local]).ok_or_else(broken)?;
    if flags & 1 != 0 {
        return Err(Refusal::not_plain(format!(
            "its entry `{}` is encrypted",
            name.escape_debug()
        )));
    }
    if method != 0 || size != packed {
        return Err(Refusal {
            reason: format!("its entry `{}` is compressed", name.escape_debug()),
            at: Some(at),
            hint: "`torch.save` never compresses; pack the archive anew with `zip -0`, or save it from PyTorch",
        });
    }
    let content = content(bytes, local, size).ok_or_else(broken)?;
    if crc32fast::hash(content) != crc {
        return Err(Refusal {
            reason: format!("its entry `{}` does not match its checksum", name.escape_debug()),
            at: Some(at),
            hint: "get the file again; a file saved with `set_crc32_options(False)` has to be saved anew",
        });
    }
    Ok((name, content, extra_at + extra_bytes + comment_bytes))
}

/// Sizes and offset of a record; where they are all ones, they stand in the zip64 field, in this order.
fn zip64(extra: &[u8], [size, packed, local]: [u32; 3]) -> Option<[u64; 3]> {
    let mut wide = [size, packed, local].map(u64::from);
    if [size, packed, local].iter().all(|&value| value != u32::MAX) {
        return Some(wide);
    }
    let mut at = 0;
    while let (Some(kind), Some(length)) = (u16_at(extra, at), u16_at(extra, at + 2)) {
        let field = extra.get(at + 4..at + 4 + usize::from(length))?;
        if kind == 1 {
            let mut next = 0;
            for value in wide.iter_mut().filter(|value| **value == u64::from(u32::MAX)) {
                *value = u64_at(field, next)?;
                next += 8;
            }
            return Some(wide);
        }
        at += 4 + usize::from(length);
    }
    None
}

/// The bytes behind a local header.
fn content(bytes: &[u8], local: u64, size: u64) -> Option<&[u8]> {
    let (local, size) = (usize::try_from(local).ok()?, usize::try_from(size).ok()?);
    let header = bytes.get(local..)?;
    if u32_at(header, 0)? != LOCAL {
        return None;
    }
    let from = 30 + usize::from(u16_at(header, 26)?) + usize::from(u16_at(header, 28)?);
    header.get(from..from.checked_add(size)?)
}

/// The pickle of an archive, for tests that change it.
#[cfg(test)]
pub(super) fn program(bytes: &[u8]) -> &[u8] {
    let found = entries(bytes).ok().and_then(|entries| {
        entries.into_iter().find(|(name, _)| name.ends_with("data.pkl")).map(|(_, bytes)| bytes)
    });
    found.unwrap_or_default()
}
