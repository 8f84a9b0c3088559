//! Letting clients in, or turning them away.

use super::connection::{Connection, linger};
use super::event::{AcceptFailed, Event, RefuseReason, Refused};
use super::shared::Shared;
use crate::net::{Listener, Net, Stream};
use crate::rt::{Spawner, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// How many connections are accepted before those that are open have their turn.
const ACCEPTS_PER_TURN: u32 = 64;

/// How long the first and every further pause is when accepting fails. The connection stays in the
/// system's queue, so trying again at once would fail at once, for ever.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many clients at once are told why they are turned away, and given time to read it. They have
/// sockets like others, so when there are more they are closed without a word.
const REFUSING_AT_ONCE: u32 = 32;

/// Accepts connections and gives each a task, until the server is told to stop.
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
                        shared.tell(Event::Refused(refused));
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
            // The client has gone again while it was in the queue. The next one is waiting there, so
            // there is nothing to pause for; those that are open have their turn.
            Err(reason) if reason.is_of_one_client() => yield_now().await,
            Err(reason) => {
                if shared.is_new_outage(net.now()) {
                    let listen = listener.local_addr();
                    shared.tell(Event::AcceptFailed(AcceptFailed { listen, reason }));
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

/// Tells a client why it isn't served, and closes the connection.
async fn refuse<N: Net>(net: N, stream: N::Stream, reason: RefuseReason, _place: Place) {
    // So short a line goes into the system's buffer at once: whatever comes of it, it is over.
    if stream
        .write_all(format!("{reason}\n").as_bytes())
        .await
        .is_ok()
    {
        linger(&net, &stream, |_| ()).await;
    }
}

/// One of the places for clients that are being refused.
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
