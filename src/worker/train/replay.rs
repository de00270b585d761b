//! Work that a GPU does again and again on other numbers: after a few times its kernels are recorded, and from
//! then on started in one call. Starting them one by one takes the host longer than the GPU needs to run them.
//! Results are the same bits; on a CPU the work is simply done.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tch::{Device, Tensor};

use crate::compute::{self, Recording};

/// Times that the work is done before it is recorded: libraries choose and load their kernels then.
const WARM_UP: u32 = 2;

/// What the work is given anew each time.
pub trait Inputs {
    /// Its tensors, always in the same order and of the same shapes.
    fn tensors(&self) -> Vec<&Tensor>;
    /// The same in memory of its own, which recorded kernels read from then on.
    #[must_use]
    fn kept(&self) -> Self;
}

/// Recordings of one piece of work. `K` outlines it: on another outline it is other work, and what was
/// recorded is forgotten.
#[derive(Debug)]
pub struct Replay<K, I, O> {
    wanted: Cell<bool>,
    known: RefCell<Known<K, Recorded<I, O>>>,
}

#[derive(Debug)]
struct Known<K, R> {
    outline: Option<K>,
    variants: Vec<Variant<R>>,
}

#[derive(Debug)]
struct Variant<R> {
    number: u64,
    done: u32,
    recorded: Option<R>,
}

#[derive(Debug)]
struct Recorded<I, O> {
    // dropped first: its memory is the outcome's
    recording: Recording,
    inputs: I,
    outcome: Rc<O>,
}

impl<K, R> Known<K, R> {
    /// The place of a variant, which may be new.
    fn place(&mut self, number: u64) -> usize {
        let at = self.variants.iter().position(|known| known.number == number);
        at.unwrap_or_else(|| {
            self.variants.push(Variant { number, done: 0, recorded: None });
            self.variants.len() - 1
        })
    }

    /// Whether the variant at this place, which is done once more and not recorded yet, may be. Recordings share their memory,
    /// but kernels that are started one by one cannot have it: beside a recording they take as much again. So nothing is
    /// recorded before all variants are warm, and one that appears later sends the others back.
    fn may_record(&mut self, at: usize) -> bool {
        self.variants[at].done += 1;
        self.variants.iter().all(|variant| variant.done > WARM_UP)
    }

    /// Drops what was recorded, if anything was.
    fn forget(&mut self) -> bool {
        self.variants.iter_mut().filter_map(|variant| variant.recorded.take()).count() > 0
    }
}

impl<K: PartialEq + Clone, I: Inputs, O> Replay<K, I, O> {
    /// Nothing is recorded yet; nothing ever will be where it is not `wanted`, or on a CPU.
    #[must_use]
    pub fn new(wanted: bool, device: Device) -> Self {
        let known = Known { outline: None, variants: Vec::new() };
        Self { wanted: Cell::new(wanted && device.is_cuda()), known: RefCell::new(known) }
    }

    /// Does the work on `inputs`, by replaying it where it is known; `seed` sets what it draws from. Few
    /// variants of one outline are remembered side by side. An outcome is overwritten by the next time.
    pub fn run(
        &self,
        (outline, variant): (&K, u64),
        inputs: &I,
        seed: impl Fn(),
        work: impl Fn(&I) -> O,
    ) -> Rc<O> {
        seed();
        if !self.wanted.get() {
            return Rc::new(work(inputs));
        }
        let mut known = self.known.borrow_mut();
        if known.outline.as_ref() != Some(outline) {
            let stale = known.forget();
            *known = Known { outline: Some(outline.clone()), variants: Vec::new() };
            if stale {
                compute::release_memory();
            }
        }
        let at = known.place(variant);
        if let Some(recorded) = &known.variants[at].recorded {
            recorded.replay(inputs);
            return Rc::clone(&recorded.outcome);
        }
        if !known.may_record(at) {
            if known.forget() {
                compute::release_memory();
            }
            return Rc::new(work(inputs));
        }
        let kept = inputs.kept();
        let beside =
            known.variants.iter().find_map(|known| Some(&known.recorded.as_ref()?.recording));
        match Recording::of(beside, || work(&kept)) {
            Ok((recording, outcome)) => {
                let outcome = Rc::new(outcome);
                let recorded = Recorded { recording, inputs: kept, outcome: Rc::clone(&outcome) };
                seed();
                recorded.recording.replay();
                known.variants[at].recorded = Some(recorded);
                outcome
            }
            Err(reason) => {
                tracing::warn!("kernels are started one by one, which is slower: {reason}");
                self.wanted.set(false);
                known.variants.clear();
                compute::release_memory();
                seed();
                Rc::new(work(inputs))
            }
        }
    }
}

impl<K, I, O> Replay<K, I, O> {
    /// Forgets what was recorded and gives its memory back.
    pub fn forget(&self) {
        if self.wanted.get() {
            self.known.borrow_mut().variants.clear();
            compute::release_memory();
        }
    }
}

impl<I: Inputs, O> Recorded<I, O> {
    fn replay(&self, inputs: &I) {
        tch::no_grad(|| {
            for (place, new) in self.inputs.tensors().into_iter().zip(inputs.tensors()) {
                place.shallow_clone().copy_(new);
            }
        });
        self.recording.replay();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tch::{Device, Tensor};

    use super::{Inputs, Known, Replay};

    impl Inputs for Tensor {
        fn tensors(&self) -> Vec<&Tensor> {
            vec![self]
        }

        fn kept(&self) -> Self {
            self.copy()
        }
    }

    /// What is recorded after each step, one letter a variant.
    #[test]
    fn kernels_are_never_started_one_by_one_beside_a_recording() {
        let mut known: Known<u8, ()> = Known { outline: None, variants: Vec::new() };
        let steps = "aaaababbaba".bytes().map(|variant| {
            let at = known.place(u64::from(variant));
            if known.variants[at].recorded.is_none() {
                if known.may_record(at) {
                    known.variants[at].recorded = Some(());
                } else {
                    known.forget();
                }
            }
            let recorded = known.variants.iter().filter(|variant| variant.recorded.is_some());
            recorded.map(|variant| char::from(variant.number as u8)).collect::<String>()
        });
        let steps: Vec<String> = steps.collect();
        assert_eq!(steps, ["", "", "a", "a", "", "", "", "b", "ab", "ab", "ab"]);
    }

    fn squares(replay: &Replay<u8, Tensor, Tensor>, done: &Cell<u32>) {
        for number in 1..=5_i64 {
            let seeded = Cell::new(0);
            let seed = || seeded.set(number);
            let outcome = replay.run((&0, 0), &Tensor::from(number), seed, |x| {
                done.set(done.get() + 1);
                // what was drawn in vain is drawn again
                x * seeded.replace(0)
            });
            assert_eq!(outcome.int64_value(&[]), number * number);
        }
    }

    #[test]
    fn on_a_cpu_the_work_is_done_each_time() {
        let done = Cell::new(0);
        squares(&Replay::new(true, Device::Cpu), &done);
        assert_eq!(done.get(), 5);
    }

    /// A CPU stands for a libtorch that cannot record.
    #[test]
    fn where_nothing_can_be_recorded_the_work_is_done_all_the_same() {
        let (replay, done) = (Replay::new(true, Device::Cpu), Cell::new(0));
        replay.wanted.set(true);
        squares(&replay, &done);
        assert_eq!(done.get(), 5);
        assert!(!replay.wanted.get(), "it is tried once");
    }
}
