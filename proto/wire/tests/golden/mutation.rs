//! Recorded bytes, damaged: no input panics, and what is still taken can be written.
use mesos_wire::{Encoding, WireMessage, decode, encode};

use crate::corpus::{Api, Part, Sample, samples};
use crate::{v1, with_type};

/// Mutants of each sample; big samples get fewer.
const MUTANTS: usize = 40;

/// A small generator, so that a failure comes again: xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

/// Bytes that mean something in JSON or in protobuf's wire format.
const TELLING: &[u8] = b"{}[]\",:\\0-.eEtfn \x00\x01\x07\x08\x0a\x0b\x0c\x0d\x12\x7f\x80\xff";

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..to)),
            2 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
            3 => {
                let copy = bytes[at..to].to_vec();
                bytes.splice(at..at, copy);
            }
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ if at < bytes.len() => bytes[at] = TELLING[random.below(TELLING.len())],
            _ => {}
        }
    }
}

fn survive<M: WireMessage>(encoding: Encoding, bytes: &[u8]) -> bool {
    match decode::<M>(encoding, bytes) {
        Ok(message) => {
            for encoding in [Encoding::Json, Encoding::Protobuf] {
                // A mutant may hold a NaN, which JSON input does not know.
                let _ = decode::<M>(encoding, &encode(encoding, &message));
            }
            true
        }
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 64_000, "{} bytes of error text", text.len());
            false
        }
    }
}

#[test]
fn damaged_messages_end_in_an_error_or_a_message() {
    let mut random = Random(0x6d65_736f_7321);
    let (mut taken, mut refused) = (0, 0);
    for sample in samples() {
        let Sample {
            encoding, bytes, ..
        } = &sample;
        for _ in 0..(MUTANTS * 2000 / (bytes.len() + 2000)).max(2) {
            let mut mutant = bytes.clone();
            mutate(&mut mutant, &mut random);
            match with_type!(sample, survive(*encoding, &mutant)) {
                true => taken += 1,
                false => refused += 1,
            }
        }
    }
    // Neither side is empty, so the mutants are neither too wild nor too tame.
    assert!(
        taken > 500 && refused > 500,
        "{taken} taken, {refused} refused"
    );
}
