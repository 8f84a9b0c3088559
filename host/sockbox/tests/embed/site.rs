//! A small web server that keeps its connections open and remembers what it was asked.

use crate::DEADLINE;
use crate::peer::read_head;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A request that came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Counts connections from 0 on.
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
}

impl Asked {
    /// `GET /path`.
    pub fn line(&self) -> &str {
        self.head.split(" HTTP/").next().unwrap()
    }

    /// The value of the first header field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The server. Dropping it ends it.
pub struct Site {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    /// Answer each request with the result of `answer`.
    pub fn new(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Site {
        Site::on(Ipv4Addr::LOCALHOST.into(), answer)
    }

    pub fn on(ip: IpAddr, answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Site {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let answer = Arc::new(answer);
        let thread = {
            let (asked, stopped) = (asked.clone(), stopped.clone());
            thread::spawn(move || {
                for connection in 0.. {
                    let Ok((stream, _)) = listener.accept() else {
                        return;
                    };
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let (asked, answer) = (asked.clone(), answer.clone());
                    thread::spawn(move || {
                        // Ends with the client.
                        let _ = serve(stream, connection, &asked, &*answer);
                    });
                }
            })
        };
        Site {
            address,
            asked,
            stopped,
            thread: Some(thread),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The same server under another name.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.address.port())
    }

    /// What came so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The first line of everything that came so far, as `GET /path`.
    pub fn lines(&self) -> Vec<String> {
        let asked = self.asked();
        asked.iter().map(|it| it.line().to_owned()).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes it up.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    connection: usize,
    asked: &Mutex<Vec<Asked>>,
    answer: &dyn Fn(&Asked) -> Vec<u8>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    loop {
        let head = String::from_utf8_lossy(&read_head(&mut stream)?).into_owned();
        let mut request = Asked {
            connection,
            head,
            body: Vec::new(),
        };
        let length = request.header("content-length").unwrap_or("0");
        request.body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut request.body)?;
        let answer = answer(&request);
        asked.lock().unwrap().push(request);
        stream.write_all(&answer)?;
    }
}

/// A redirect: `302`, and where to.
pub fn redirect(status: u16, location: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into()
}
