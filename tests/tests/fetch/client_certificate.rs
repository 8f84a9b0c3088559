//! `sockbox fetch --cert`, with certificates and keys from the real `openssl`, sent to its server.

use sockbox_tests::{Finished, Process, Program};
use std::fs;
use std::path::PathBuf;

/// A folder with an authority in it, a client's certificate of version 1, and its key.
struct Folder(tempfile::TempDir);

/// A key on P-256.
const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P521: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"];

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.self_made("ca", "An Authority", &P256);
        folder.client("client", &P256);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Run `openssl` here.
    fn openssl(&self, words: &str, more: &[&str]) -> Finished {
        let program = Program::openssl(words.split_whitespace()).args(more);
        let finished = program.current_dir(self.0.path()).run();
        finished.assert_code(0);
        finished
    }

    /// `NAME.pem` that is signed with its own key, `NAME.key`.
    fn self_made(&self, name: &str, subject: &str, key: &[&str]) {
        let words = format!("req -x509 -nodes -days 2 -keyout {name}.key -out {name}.pem -subj");
        let subject = format!("/CN={subject}");
        let addresses = ["-addext", "subjectAltName=IP:127.0.0.1"];
        self.openssl(&words, &[&[subject.as_str()], key, &addresses].concat());
    }

    /// `NAME.pem` of version 1, signed by the authority, and `NAME.key`.
    fn client(&self, name: &str, key: &[&str]) {
        let words = format!("req -new -nodes -keyout {name}.key -out {name}.csr -subj /CN=client");
        self.openssl(&words, key);
        let sign = format!(
            "x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial 7 -out {name}.pem"
        );
        self.openssl(&sign, &[]);
        let shown = format!("x509 -noout -text -in {name}.pem");
        let is_v1 = || {
            self.openssl(&shown, &[])
                .stdout_text()
                .contains("Version: 1 ")
        };
        if !is_v1() {
            // Later versions of the program have to be told.
            self.openssl(&sign, &["-x509v1"]);
        }
        assert!(is_v1(), "it is of another version");
    }

    /// A server with this certificate. Clients have to show one of the authority's, if they are to.
    fn serve(&self, name: &str, clients: bool) -> Server {
        let words = format!("s_server -accept 127.0.0.1:0 -cert {name}.pem -key {name}.key -www");
        let verify = ["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"];
        let verify: &[&str] = if clients { &verify } else { &[] };
        let program = Program::openssl(words.split_whitespace()).args(verify);
        let process = program.current_dir(self.0.path()).start();
        let port = process.wait_for_stdout("it to listen", |text| {
            let line = text.lines().find(|line| line.starts_with("ACCEPT "))?;
            line.trim().rsplit_once(':')?.1.parse().ok()
        });
        Server {
            _process: process,
            port,
        }
    }

    fn fetch(&self, args: &[&str], server: &Server) -> Finished {
        let url = format!("https://127.0.0.1:{}/", server.port);
        let program = Program::sockbox(["fetch", "-sS"]).args(args).args([&url]);
        program.current_dir(self.0.path()).run()
    }
}

/// `openssl s_server`, which ends when this is dropped.
struct Server {
    _process: Process,
    port: u16,
}

#[track_caller]
fn assert_shown(finished: &Finished) {
    finished.assert_code(0);
    assert!(
        finished.stdout_text().contains("s_server"),
        "{}",
        finished.stdout_text()
    );
}

#[test]
fn a_certificate_is_the_servers_to_judge_and_keys_are_read_however_they_are_written() {
    let folder = Folder::new();
    folder.openssl("ec -in client.key -out sec1.key", &[]);
    folder.openssl(
        "pkcs8 -topk8 -in client.key -out aes.key -passout",
        &["pass:se:c\\ret"],
    );
    folder.openssl(
        "x509 -in client.pem -trustout -addtrust clientAuth -out trusted.pem",
        &[],
    );
    let (certificate, key) = (folder.text("client.pem"), folder.text("client.key"));
    folder.write("bom.pem", &format!("\u{feff}{certificate}"));
    folder.write(
        "joined.pem",
        &format!("{}{}", key.trim_end(), certificate.trim_end()),
    );
    folder.write("colon:.pem", &format!("{key}{certificate}"));
    folder.write(
        "aes.pem",
        &format!("{certificate}{}", folder.text("aes.key")),
    );
    let server = folder.serve("ca", true);
    let fetch = |args: &[&str]| folder.fetch(&[&["--cacert", "ca.pem"], args].concat(), &server);
    fetch(&[]).assert_failure(56, &["--cert FILE"]);
    for args in [
        &["--cert", "client.pem", "--key", "client.key"][..],
        &["--cert", "client.pem", "--key", "sec1.key"],
        &["--cert", "client.pem:not needed", "--key", "client.key"],
        &["--cert", r"client.pem:se:c\ret", "--key", "aes.key"],
        &["--cert", r"aes.pem:se:c\ret"],
        &["--cert", "trusted.pem", "--key", "client.key"],
        &["--cert", "bom.pem", "--key", "client.key"],
        &["-E", "joined.pem"],
        &["-E", r"colon\:.pem"],
    ] {
        eprintln!("{args:?}");
        assert_shown(&fetch(args));
    }
}

#[test]
fn what_is_wrong_with_a_key_is_told_in_words() {
    let folder = Folder::new();
    folder.client("p521", &P521);
    folder.client("other", &P256);
    folder.openssl(
        "pkcs8 -topk8 -in client.key -out aes.key -passout",
        &["pass:secret"],
    );
    folder.openssl(
        "ec -in client.key -aes256 -out old.key -passout",
        &["pass:secret"],
    );
    assert!(folder.text("old.key").contains("DEK-Info"));
    folder.openssl(
        "pkcs8 -topk8 -scrypt -in client.key -out scrypt.key -passout",
        &["pass:secret"],
    );
    let server = folder.serve("ca", false);
    for (cert, key, words) in [
        (
            "client.pem",
            "aes.key",
            &["aes.key", "--cert FILE:PASSWORD"][..],
        ),
        (
            "client.pem:wrong",
            "aes.key",
            &["aes.key", "the password does not decrypt the key"],
        ),
        (
            "client.pem:secret",
            "old.key",
            &["old.key", "openssl pkcs8 -topk8"],
        ),
        (
            "client.pem:secret",
            "scrypt.key",
            &["scrypt.key", "is not supported", "openssl pkcs8 -topk8"],
        ),
        ("p521.pem", "p521.key", &["p521.key", "P-521", "P-384"]),
        (
            "client.pem",
            "other.key",
            &["other.key", "does not belong to the certificate"],
        ),
        (
            "client.pem",
            "client.pem",
            &["client.pem", "no PEM private key"],
        ),
    ] {
        eprintln!("{cert} {key}");
        let args = ["--cacert", "ca.pem", "--cert", cert, "--key", key];
        let finished = folder.fetch(&args, &server);
        finished.assert_failure(58, words);
        for secret in ["secret", "wrong", "Other(", "General"] {
            assert!(!finished.stderr().contains(secret), "{}", finished.stderr());
        }
    }
}

#[test]
fn what_ring_does_not_know_is_told_in_words() {
    let folder = Folder::new();
    folder.self_made("server521", "A Server", &P521);
    for args in [&["--cacert", "server521.pem"][..], &["-k"]] {
        let server = folder.serve("server521", false);
        let finished = folder.fetch(args, &server);
        finished.assert_code(35);
        for words in ["handshake_failure", "P-521"] {
            assert!(finished.stderr().contains(words), "{}", finished.stderr());
        }
    }
    // A server's certificate of version 1 has no names, and isn't the last in a chain that is checked.
    let server = folder.serve("client", false);
    let finished = folder.fetch(&["--cacert", "ca.pem"], &server);
    finished.assert_failure(60, &["is not of version 3"]);
    assert!(
        !finished.stderr().contains("Other("),
        "{}",
        finished.stderr()
    );
}

#[test]
fn an_authority_that_is_not_trusted_for_servers_is_not_trusted() {
    let folder = Folder::new();
    for (name, words) in [
        ("servers", "-addtrust serverAuth"),
        ("clients", "-addtrust clientAuth"),
        ("rejected", "-addreject serverAuth"),
        ("alias", "-setalias mine"),
    ] {
        let words = format!("x509 -in ca.pem -trustout {words} -out {name}.pem");
        folder.openssl(&words, &[]);
        assert!(folder.text(&format!("{name}.pem")).contains("TRUSTED"));
    }
    let bom = format!("\u{feff}{}", folder.text("ca.pem"));
    folder.write("bom.pem", &bom);
    let server = folder.serve("ca", false);
    for trusted in ["servers.pem", "alias.pem", "bom.pem"] {
        assert_shown(&folder.fetch(&["--cacert", trusted], &server));
    }
    for refused in ["clients.pem", "rejected.pem"] {
        let finished = folder.fetch(&["--cacert", refused], &server);
        finished.assert_failure(77, &[refused, "not trusted for servers"]);
    }
}
