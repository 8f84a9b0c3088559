//! Accepting connections, or refusing them.

use super::connection::{Connection, linger};
use super::event::{AcceptFailed, Event, RefuseReason, Refused};
use super::shared::Shared;
use crate::net::{Listener, Net, Stream};
use crate::rt::{Spawner, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// How many connections are accepted before the open ones get a turn.
const ACCEPTS_PER_TURN: u32 = 64;

/// The first and the longest pause after a failed accept. The connection stays in the system's
/// queue, so an immediate second attempt would fail as well, in an endless loop.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many refused clients at once get an error line and time to read it. Each of them holds a
/// socket, so further ones are closed without a line.
const REFUSING_AT_ONCE: u32 = 32;

/// Accepts connections and spawns a task for each, until the server stops.
pub async fn accept<N: Net>(net: N, listener: N::Listener, shared: Rc<Shared>, spawner: Spawner) {
    let mut accepts = 0_u32;
    let mut pause = None;
    let refusing = Rc::new(Cell::new(0));
    while let Some(accepted) = shared.with_room(listener.accept()).await {
        match accepted {
            Ok(stream) => {
                pause = None;
                match shared.refusal(stream.remote_addr()) {
                    None => {
                        let connection = Connection::open(net.clone(), shared.clone(), &stream);
                        spawner.spawn(connection.serve(stream));
                    }
                    Some(reason) => {
                        let refused = Refused {
                            local: stream.local_addr(),
                            remote: stream.remote_addr(),
                            reason,
                        };
                        shared.refused.set(shared.refused.get() + 1);
                        shared.record(Event::Refused(refused));
                        if refusing.get() < REFUSING_AT_ONCE {
                            let place = Place::taken(refusing.clone());
                            spawner.spawn(refuse(net.clone(), stream, reason, place));
                        }
                    }
                }
                accepts = accepts.wrapping_add(1);
                if accepts.is_multiple_of(ACCEPTS_PER_TURN) {
                    yield_now().await;
                }
            }
            // The client left while it was in the queue. The next client is already there, so there
            // is no pause; the open connections get a turn.
            Err(reason) if reason.is_of_one_client() => yield_now().await,
            Err(reason) => {
                if shared.is_new_outage(net.now()) {
                    let listen = listener.local_addr();
                    shared.record(Event::AcceptFailed(AcceptFailed { listen, reason }));
                }
                let length =
                    pause.map_or(FIRST_PAUSE, |last: Duration| LONGEST_PAUSE.min(last * 2));
                pause = Some(length);
                let sleep = net.sleep_until(net.now().after(length));
                if shared.unless_stopping(sleep).await.is_none() {
                    break;
                }
            }
        }
    }
}

/// Sends a client the reason why it is refused, and closes the connection.
async fn refuse<N: Net>(net: N, stream: N::Stream, reason: RefuseReason, _place: Place) {
    // The system's buffer has room for a line this short, so the write does not wait. The
    // connection ends whether or not it succeeds.
    if stream
        .write_all(format!("{reason}\n").as_bytes())
        .await
        .is_ok()
    {
        linger(&net, &stream, |_| ()).await;
    }
}

/// One of the [`REFUSING_AT_ONCE`] places, taken until it is dropped.
struct Place(Rc<Cell<u32>>);

impl Place {
    fn taken(places: Rc<Cell<u32>>) -> Self {
        places.set(places.get() + 1);
        Self(places)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
