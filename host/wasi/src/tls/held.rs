//! What a session holds until it ends.

use crate::budget::Charge;
use crate::sockets::count::Open;
use std::sync::Arc;

/// The parts of the run's limits that a session holds.
pub(super) struct Held {
    _sockets: [Option<Arc<Open>>; 2],
    _charge: Charge,
}

impl Held {
    pub(super) fn new(sockets: [Option<Arc<Open>>; 2], charge: Charge) -> Held {
        Held {
            _sockets: sockets,
            _charge: charge,
        }
    }
}

#[cfg(test)]
impl Held {
    pub(super) fn nothing() -> Held {
        let budget = crate::budget::Budget::new(0);
        Held::new([None, None], budget.charge(0).expect("nothing fits"))
    }
}
