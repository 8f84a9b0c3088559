//! The example `plugins`: a host that runs plugins in several languages at the same time, good ones and bad ones.

use sockbox_tests::{Foreign, Program, RawPeer};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Put a plugin and its policy file into the folder.
fn place(folder: &Path, name: &str, component: Foreign, policy: &str) {
    let file = folder.join(name).with_extension("wasm");
    fs::copy(component.component(), &file).unwrap();
    fs::write(file.with_extension("toml"), policy).unwrap();
}

/// What the host tells of each plugin.
fn reports(stdout: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut reports: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut name = "";
    for line in stdout.lines() {
        match line.strip_prefix("  ") {
            Some(line) => reports.entry(name).or_default().push(line),
            None => name = line,
        }
    }
    reports
}

#[test]
fn a_host_survives_its_plugins_and_tells_what_they_did() {
    let peer = RawPeer::start(|peer| {
        peer.read_bytes(6)?;
        peer.send("welcome\n")
    });
    let flooded = RawPeer::start(|peer| peer.wait_for_close());
    let (peer, open) = (peer.address(), flooded.address());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let grants = format!("allow-connect = [\"{peer}\"]\n");
    let greet = format!("{grants}env = [\"MODE=greet\"]\n");
    place(folder, "greets", Foreign::Plugin, &greet);
    place(folder, "python", Foreign::PythonPlugin, &grants);
    place(folder, "javascript", Foreign::JavaScriptPlugin, "");
    place(folder, "traps", Foreign::Plugin, "env = [\"MODE=trap\"]\n");
    place(folder, "loops", Foreign::Plugin, "env = [\"MODE=loop\"]\n");
    place(folder, "eats", Foreign::Plugin, "env = [\"MODE=memory\"]\n");
    let flood = format!("allow-connect = [\"{open}\"]\nenv = [\"MODE=flood\", \"PEER={open}\"]\n");
    place(folder, "floods", Foreign::Plugin, &flood);
    let scan = "allow-connect = [\"10.0.0.0/8\"]\nenv = [\"MODE=scan\"]\n";
    place(folder, "scans", Foreign::Plugin, scan);
    place(folder, "unread", Foreign::Plugin, "allow-conect = []\n");
    fs::write(folder.join("broken.wasm"), "hello").unwrap();
    fs::write(folder.join("broken.toml"), "").unwrap();
    fs::write(
        folder.join("ceiling.toml"),
        "allow-connect = [\"127.0.0.1\"]\n[limits]\nmax-memory = \"64M\"\nmax-cpu-time = 5\nmax-sockets = 4\n",
    )
    .unwrap();

    let task = format!("greet {peer}");
    let finished = Program::example("plugins")
        .args([folder])
        .args([&task])
        .run();
    finished.assert_quiet_success();
    let stdout = finished.stdout_text();
    let reports = reports(&stdout);
    let told = |name: &str| {
        let report = reports.get(name);
        report.unwrap_or_else(|| panic!("no {name} in {stdout}"))
    };
    let says = |name: &str, expected: &str| {
        let lines = told(name);
        assert!(
            lines.iter().any(|line| line.starts_with(expected)),
            "{name} does not say `{expected}`: {lines:#?}"
        );
    };
    says("greets", &format!("log: \"{task} by greet\""));
    says("greets", "did: welcome");
    says("python", &format!("log: \"{task} in Python\""));
    says("python", "did: welcome");
    says("javascript", &format!("log: \"{task} in JavaScript\""));
    says(
        "javascript",
        "refused: send GET http://127.0.0.1:9/: no rule grants it (allow-http GET http://127.0.0.1:9/ would)",
    );
    says("javascript", &format!("did: {task} without the page"));
    says("traps", "failed: the component trapped: it aborted");
    says(
        "traps",
        &format!("stderr: \"this plugin does not like {task}\""),
    );
    says(
        "loops",
        "failed: the component used more CPU time than its limit of 5s",
    );
    says(
        "eats",
        "failed: the component needs more memory than its limit of 67108864 bytes",
    );
    says("floods", "reached: max-sockets");
    says("floods", "did: 4 of 100 connections");
    says(
        "scans",
        "cut: allow-connect 10.0.0.0/8:*: no rule of the ceiling grants all of it",
    );
    says(
        "scans",
        "refused: connect to 10.0.0.1:100: the ceiling does not allow it: no rule grants it",
    );
    says("scans", "did: 0 ports are open");
    says("unread", "failed: ");
    says("broken", "failed: ");
    assert_eq!(reports.len(), 10);
}
