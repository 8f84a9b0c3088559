//! Nothing of a run remains after its end, whatever the reason: no socket, no task, no lookup.
//!
//! One test, because it counts the resources of the whole process.

use sockbox::{Error, Limits, Policy, Sandbox};
use sockbox_tests::{Foreign, Peer, RawPeer, eventually};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How a run ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// By itself.
    Return,
    /// It traps.
    Trap,
    /// Its time limit is reached.
    WallTime,
    /// Its CPU time limit is reached.
    CpuTime,
    /// Its future is dropped.
    Drop,
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_run_survives_it() {
    let component = Foreign::Rust.component();
    let program = Sandbox::new().unwrap().program_file(component).unwrap();
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = ended.clone();
    let peer = RawPeer::start(move |peer: &mut Peer| {
        let end = peer.wait_for_close();
        counter.fetch_add(1, Ordering::SeqCst);
        end
    });
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    // The first run makes things that later runs share.
    let first = program.command().args(["tries", "resolve", "localhost"]);
    first.policy(Policy::everything()).run().await.unwrap();
    let (files_before, tasks_before) = (open_files(), tasks());

    for (runs, end) in [
        End::Return,
        End::Trap,
        End::WallTime,
        End::CpuTime,
        End::Drop,
    ]
    .into_iter()
    .enumerate()
    {
        eprintln!("{end:?}");
        ended.store(0, Ordering::SeqCst);
        let server = free_port();
        let mut limits = Limits::default().handles(1_000);
        let last = match end {
            End::Return => "env",
            End::Trap => "pollables 2000",
            End::WallTime => {
                limits = limits.wall_time(Some(Duration::from_millis(500)));
                "sleep 1000"
            }
            End::CpuTime => {
                limits = limits.cpu_time(Some(Duration::from_millis(500)));
                "compute"
            }
            End::Drop => "sleep 1000",
        };
        let attempts = format!(
            "connections {} 3 then udp-sockets 3 then hold-clients {server} 1 then lookups-at-once \
             localhost 20 then {last}",
            peer.address(),
        );
        let words = std::iter::once("tries").chain(attempts.split(' '));
        let command = program
            .command()
            .args(words.collect::<Vec<_>>())
            .policy(Policy::everything())
            .limits(limits);
        // The client of its own server.
        let client = std::thread::spawn(move || {
            eventually("its server", || TcpStream::connect(server).ok())
        });
        let running = command.run();
        let outcome = match end {
            End::Drop => {
                let is_held = async {
                    while peer.connections() < 3 * (runs + 1) || !client.is_finished() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                tokio::select! {
                    outcome = running => Some(outcome),
                    () = is_held => None,
                }
            }
            _ => Some(running.await),
        };
        let client = client.join().unwrap();
        match (end, &outcome) {
            (End::Return, Some(Ok(0)))
            | (End::Trap, Some(Err(_)))
            | (End::WallTime, Some(Err(Error::WallTime { .. })))
            | (End::CpuTime, Some(Err(Error::CpuTime { .. })))
            | (End::Drop, None) => {}
            _ => panic!("{end:?}: {outcome:?}"),
        }

        // All of its connections are closed, from both sides' view, and no socket listens any more.
        eventually("the end of its connections", || {
            (ended.load(Ordering::SeqCst) == 3).then_some(())
        });
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut &client, &mut rest);
        drop(client);
        eventually("the end of its server", || TcpStream::connect(server).err());
        eventually("the end of its files", || {
            (open_files() <= files_before).then_some(())
        });
        eventually("the end of its tasks", || {
            (tasks() <= tasks_before).then_some(())
        });
    }
}
