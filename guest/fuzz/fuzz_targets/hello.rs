//! Messages are answered the same however they are split.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sockbox_fuzz::pieces;
use sockbox_guest::hello::{Flow, Framer, Framing, Rules};
use std::rc::Rc;

fn answers(framing: Framing, max: u8, pieces: &[&[u8]], enough: usize) -> (Vec<u8>, Flow, u64) {
    let rules = Rules::new(framing, "Hello", max.into());
    let mut framer = Framer::new(Rc::new(rules));
    let mut answers = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let before = rest.len();
            let mut some = Vec::new();
            let flow = framer.push(&mut rest, &mut some, enough);
            assert!(rest.len() < before || !some.is_empty() || flow != Flow::Continue);
            answers.extend(some);
            if flow != Flow::Continue {
                return (answers, flow, framer.messages());
            }
        }
    }
    let flow = framer.end(&mut answers);
    (answers, flow, framer.messages())
}

fuzz_target!(|input: &[u8]| {
    let [seed, max, data @ ..] = input else {
        return;
    };
    let split = pieces(*seed, data);
    for framing in [Framing::Auto, Framing::Line, Framing::Chunk] {
        let whole = answers(framing, *max, &[data], usize::MAX);
        for enough in [usize::MAX, 1] {
            assert_eq!(answers(framing, *max, &split, enough), whole, "{framing:?}");
        }
    }
});
