//! Hostile PyTorch files must not make the reader allocate without bound: an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dgnet::data::rng::Rng;
use dgnet::data::torch_file;

/// Counts what each thread holds and has held at most.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn note(bytes: isize) {
    // a thread that ends has no counters any more, and is not measured
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call is the system allocator's; counting allocates nothing.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that reading a file held at most.
fn most(file: &[u8]) -> isize {
    let before = HELD.get();
    MOST.set(before);
    let _ = torch_file::parse(file);
    MOST.get() - before
}

#[test]
fn damaged_files_allocate_in_proportion_to_their_size() {
    let files: [&[u8]; 2] =
        [include_bytes!("../fixtures/kinds.pt"), include_bytes!("../fixtures/kinds_legacy.pth")];
    for (which, file) in files.into_iter().enumerate() {
        let bound = 64 * file.len() as isize + (64 << 10);
        assert!(most(file) > file.len() as isize / 4, "nothing is counted");
        for round in 0..4_000 {
            let mut rng = Rng::new(which as u64, "flips", round);
            let mut flipped = file.to_vec();
            for _ in 0..=rng.below(4) {
                let at = rng.below(flipped.len());
                flipped[at] = rng.below(256) as u8;
            }
            let most = most(&flipped);
            assert!(most <= bound, "round {round}: {most} bytes for a file of {}", file.len());
        }
    }
}

#[test]
fn the_densest_pickles_stay_within_a_bound() {
    let beginning =
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02";
    for (what, unit) in [
        ("lists", b"]".as_slice()),
        ("dropped lists", b"]0"),
        ("marks", b"("),
        ("remembered values", b"N\x94"),
        ("remembered and dropped", b"]\x940"),
        ("items", b"](NNNNNNNNNNNNNNNNNNNNe0"),
        ("entries", b"}(NNNNNNNNNNNNNNNNNNNNu0"),
        ("texts", b"X\x01\x00\x00\x00a0"),
    ] {
        let mut file = beginning.to_vec();
        file.extend(unit.repeat((20 << 20) / unit.len()));
        let most = most(&file);
        assert!(most < 1 << 29, "{what}: {} MiB", most >> 20);
    }
}
