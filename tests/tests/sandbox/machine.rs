//! Files and environment variables: only granted ones are visible, with the granted permissions.

use sockbox_tests::{Finished, Foreign, Program};
use std::fs;

fn tries(flags: &[&str], attempts: &str) -> Finished {
    program(flags, attempts).run()
}

fn program(flags: &[&str], attempts: &str) -> Program {
    Foreign::Rust.run(flags, attempts)
}

#[test]
fn no_file_is_there_by_default() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "s").unwrap();
    let path = folder.path().join("secret");
    let path = path.to_str().unwrap();
    let attempts = format!(
        "read {path} then read secret then write new x then list / then list . then read /etc/passwd"
    );
    let finished = program(&[], &attempts).current_dir(folder.path()).run();
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    assert_eq!(stdout.lines().count(), 6);
    assert!(!stdout.contains("ok"), "{stdout}");
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    fs::write(folder.path().join("a"), "first").unwrap();
    fs::write(folder.path().join("sub/b"), "second").unwrap();
    let path = folder.path().to_str().unwrap();
    for guest in ["/data", "data", "."] {
        let dir = format!("{path}::{guest}");
        let at = |name: &str| format!("{}/{name}", guest.trim_end_matches('/'));
        let attempts = format!(
            "read {} then read {} then write {} third then list {guest} then remove {}",
            at("a"),
            at("sub/b"),
            at("c"),
            at("c"),
        );
        let finished = tries(&["--dir", &dir], &attempts);
        finished.assert_quiet_success();
        assert_eq!(
            finished.stdout_text(),
            "ok first\nok second\nok\nok a c sub\nok\n"
        );
        assert!(!folder.path().join("c").exists());
    }
    // Under its own name, if it is given no other.
    let finished = tries(&["--dir", path], &format!("read {path}/a"));
    finished.assert_quiet_success().assert_stdout(b"ok first\n");
}

#[test]
fn a_folder_to_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "first").unwrap();
    let path = folder.path().to_str().unwrap();
    for dir in [format!("{path}::/data:ro"), format!("{path}:ro")] {
        let guest = if dir.contains("::") { "/data" } else { path };
        let attempts = format!(
            "read {guest}/a then list {guest} then write {guest}/a x then write {guest}/b x then remove {guest}/a"
        );
        let finished = tries(&["--dir", &dir], &attempts);
        finished.assert_code(1);
        let stdout = finished.stdout_text();
        let lines: Vec<&str> = stdout.lines().collect();
        assert_eq!(lines[..2], ["ok first", "ok a"]);
        for line in &lines[2..] {
            assert!(!line.starts_with("ok"), "{stdout}");
        }
        assert_eq!(
            fs::read_to_string(folder.path().join("a")).unwrap(),
            "first"
        );
        assert!(!folder.path().join("b").exists());
    }
}

#[test]
fn no_way_out_of_a_folder() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let folder = outside.path().join("inside");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
    std::os::unix::fs::symlink("..", folder.join("up")).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.join("absolute")).unwrap();
    let dir = format!("{}::/data", folder.to_str().unwrap());
    let attempts = "read /data/../secret then read /data/link then read /data/up/secret then read \
                    /data/absolute/secret then list /data/.. then write /data/../new x then list /";
    let finished = tries(&["--dir", &dir], attempts);
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    for line in stdout.lines() {
        assert!(
            !line.starts_with("ok s") && !line.contains("secret"),
            "{stdout}"
        );
    }
    assert!(!outside.path().join("new").exists());
}

#[test]
fn several_folders() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(one.path().join("a"), "1").unwrap();
    fs::write(two.path().join("a"), "2").unwrap();
    let one = format!("{}::/one", one.path().to_str().unwrap());
    let two = format!("{}::/two:ro", two.path().to_str().unwrap());
    let attempts = "read /one/a then read /two/a then write /one/b x then write /two/b x";
    let finished = tries(&["--dir", &one, "--dir", &two], attempts);
    finished.assert_code(1);
    let stdout = finished.stdout_text();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..3], ["ok 1", "ok 2", "ok"]);
    assert!(!lines[3].starts_with("ok"), "{stdout}");
}

#[test]
fn a_folder_that_is_not_there() {
    let finished = tries(&["--dir", "/nonexistent/folder::/data"], "env");
    assert_ne!(finished.code(), 0);
    finished.assert_stdout(b"");
    assert!(finished.stderr().contains("/nonexistent/folder"));
}

#[test]
fn the_environment() {
    for (flags, expected) in [
        (&[][..], "ok\n"),
        (&["--env", "A=1"], "ok A=1\n"),
        (&["--env", "A=1", "--env", "B=x=y"], "ok A=1 B=x=y\n"),
        (&["--env", "A="], "ok A=\n"),
        // The machine's own value, of one variable.
        (&["--env", "SECRET"], "ok SECRET=1\n"),
        (&["--env", "A=1", "--env", "A=2"], "ok A=2\n"),
    ] {
        eprintln!("{flags:?}");
        program(flags, "env")
            .env("SECRET", "1")
            .env("OTHER", "2")
            .run()
            .assert_quiet_success()
            .assert_stdout(expected.as_bytes());
    }
    // The whole environment, and an additional variable.
    let finished = program(&["--inherit-env", "--env", "OTHER=3"], "env")
        .env("SECRET", "1")
        .env("OTHER", "2")
        .run();
    finished.assert_quiet_success();
    let stdout = finished.stdout_text();
    for variable in ["SECRET=1", "OTHER=3", "PATH="] {
        assert!(stdout.contains(variable), "{stdout}");
    }
    assert!(!stdout.contains("OTHER=2"), "{stdout}");
}
