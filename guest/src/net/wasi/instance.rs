//! The state that an instance of the component has once.

use super::reactor::Reactor;
use crate::bindings::wasi::sockets::instance_network::instance_network;
use crate::bindings::wasi::sockets::network::Network;
use std::rc::Rc;

/// The reactor and the network of an instance of the component.
pub struct Instance {
    pub reactor: Rc<Reactor>,
    pub network: Network,
}

impl Default for Instance {
    fn default() -> Self {
        Self {
            reactor: Rc::default(),
            network: instance_network(),
        }
    }
}
