//! Programs that the tests need and a machine may lack.
//!
//! What is missing is taken from the distribution's packages, or from PyPI, into the build folder, once:
//! nothing is installed on the machine, and no privilege is needed.

use crate::paths;
use crate::python;
use crate::text::announce;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A program that can be run.
pub(crate) struct Tool {
    pub(crate) path: PathBuf,
    /// Where its libraries are, if they came with it.
    pub(crate) libraries: Option<PathBuf>,
}

/// A program as a shell knows it, Debian's name for its package, and where the program is inside.
struct Package {
    command: &'static str,
    name: &'static str,
    program: &'static str,
}

/// The real nginx.
pub(crate) fn nginx() -> &'static Tool {
    static NGINX: OnceLock<Tool> = OnceLock::new();
    NGINX.get_or_init(|| {
        find_or_fetch(&Package {
            command: "nginx",
            name: "nginx",
            program: "usr/sbin/nginx",
        })
    })
}

/// The real openssl.
pub(crate) fn openssl() -> &'static Tool {
    static OPENSSL: OnceLock<Tool> = OnceLock::new();
    OPENSSL.get_or_init(|| {
        find_or_fetch(&Package {
            command: "openssl",
            name: "openssl",
            program: "usr/bin/openssl",
        })
    })
}

/// The real lighttpd.
pub(crate) fn lighttpd() -> &'static Tool {
    static LIGHTTPD: OnceLock<Tool> = OnceLock::new();
    LIGHTTPD.get_or_init(|| {
        find_or_fetch(&Package {
            command: "lighttpd",
            name: "lighttpd",
            program: "usr/sbin/lighttpd",
        })
    })
}

/// The real tinyproxy.
pub(crate) fn tinyproxy() -> &'static Tool {
    static TINYPROXY: OnceLock<Tool> = OnceLock::new();
    TINYPROXY.get_or_init(|| {
        find_or_fetch(&Package {
            command: "tinyproxy",
            name: "tinyproxy-bin",
            program: "usr/bin/tinyproxy",
        })
    })
}

/// The real Node.
pub(crate) fn node() -> &'static Tool {
    static NODE: OnceLock<Tool> = OnceLock::new();
    NODE.get_or_init(|| {
        find_or_fetch(&Package {
            command: "node",
            name: "nodejs",
            program: "usr/bin/node",
        })
    })
}

/// The real curl.
pub(crate) fn curl() -> &'static Tool {
    static CURL: OnceLock<Tool> = OnceLock::new();
    CURL.get_or_init(|| {
        find_or_fetch(&Package {
            command: "curl",
            name: "curl",
            program: "usr/bin/curl",
        })
    })
}

/// The real netcat.
pub(crate) fn netcat() -> &'static Tool {
    static NETCAT: OnceLock<Tool> = OnceLock::new();
    NETCAT.get_or_init(|| {
        find_or_fetch(&Package {
            name: "netcat-openbsd",
            command: "nc.openbsd",
            program: "bin/nc.openbsd",
        })
    })
}

/// The real systemd-socket-activate, where the machine has it. It isn't fetched: its library is in a
/// folder of its own, which it finds only where it was installed.
pub(crate) fn systemd_socket_activate() -> Option<PathBuf> {
    on_path("systemd-socket-activate")
}

/// The folder that httpbin was installed in, with all that it needs.
pub(crate) fn httpbin() -> &'static Path {
    static HTTPBIN: OnceLock<PathBuf> = OnceLock::new();
    HTTPBIN.get_or_init(|| {
        installed_from_pypi("httpbin", HTTPBIN_VERSION)
            .unwrap_or_else(|reason| panic!("the tests need httpbin from PyPI, and {reason}"))
    })
}

/// What the tests were written against.
const HTTPBIN_VERSION: &str = "0.10.4";

fn find_or_fetch(package: &Package) -> Tool {
    match on_path(package.command) {
        Some(path) => Tool {
            path,
            libraries: None,
        },
        None => fetched(package).unwrap_or_else(|reason| {
            panic!(
                "the tests need {0}, and {reason}; please install {0}",
                package.command
            )
        }),
    }
}

/// Look for a program where a shell would, and where administrators' programs are.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// The package's program from the build folder, put there first if need be.
fn fetched(package: &Package) -> Result<Tool, String> {
    let tools = folder()?;
    let _lock = lock(&tools.join(format!("{}.lock", package.name)))?;

    let root = tools.join(package.name);
    if !root.is_dir() {
        announce(&format!(
            "{} is missing here: taking it from the distribution's packages into {}",
            package.name,
            root.display()
        ));
        let fresh = tempfile::tempdir_in(&tools)
            .map_err(|error| format!("no folder can be made: {error}"))?;
        unpack_with_libraries(package.name, fresh.path())?;
        let rename = fs::rename(fresh.path().join("root"), &root);
        rename.map_err(|error| format!("{} can't be made: {error}", root.display()))?;
    }
    // Of late, what used to be in /bin is in /usr/bin.
    let places = [
        root.join(package.program),
        root.join("usr").join(package.program),
    ];
    match places.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(Tool {
            path,
            libraries: library_dir(&root),
        }),
        None => Err(format!("its package has no {}", package.program)),
    }
}

/// The folder of a Python package and those that it needs, put there first if need be.
pub(crate) fn installed_from_pypi(package: &str, version: &str) -> Result<PathBuf, String> {
    installed(package, version, "PyPI", |target| {
        let mut pip = Command::new(python::path());
        pip.args(["-I", "-m", "pip", "install", "--quiet", "--no-input"])
            .arg("--target")
            .arg(target)
            .arg(format!("{package}=={version}"));
        pip
    })
}

/// The folder in whose `node_modules` a package of npm's is and those that it needs, put there first if
/// need be.
pub(crate) fn installed_from_npm(package: &str, version: &str) -> Result<PathBuf, String> {
    if on_path("npm").is_none() {
        return Err("there is no npm, please install it".to_owned());
    }
    installed(package, version, "npm", |target| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--ignore-scripts", "--no-save"])
            .args(["--no-audit", "--no-fund", "--no-package-lock", "--prefix"])
            .arg(target)
            .arg(format!("{package}@{version}"));
        npm
    })
}

/// The folder that a package was installed in with this command, which is given where.
fn installed(
    package: &str,
    version: &str,
    registry: &str,
    command: impl FnOnce(&Path) -> Command,
) -> Result<PathBuf, String> {
    let tools = folder()?;
    // npm has scopes: `@scope/name`.
    let name = package.trim_start_matches('@').replace('/', "-");
    let _lock = lock(&tools.join(format!("{name}.lock")))?;
    let folder = tools.join(format!("{name}-{version}"));
    if !folder.is_dir() {
        announce(&format!(
            "taking {package} {version} from {registry} into {}",
            folder.display()
        ));
        let fresh = tempfile::tempdir_in(&tools)
            .map_err(|error| format!("no folder can be made: {error}"))?;
        let target = fresh.path().join("packages");
        run(&mut command(&target))
            .map_err(|reason| format!("{package} can't be had from {registry}: {reason}"))?;
        let rename = fs::rename(&target, &folder);
        rename.map_err(|error| format!("{} can't be made: {error}", folder.display()))?;
    }
    Ok(folder)
}

/// Where programs are put that the machine lacks.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let tools = paths::target_dir().join("test-tools");
    fs::create_dir_all(&tools)
        .map_err(|error| format!("{} can't be made: {error}", tools.display()))?;
    Ok(tools)
}

/// Hold a lock until what is returned is dropped: several tests, of several processes, may find a
/// program missing at the same time.
pub(crate) fn lock(path: &Path) -> Result<File, String> {
    let file =
        File::create(path).map_err(|error| format!("{} can't be made: {error}", path.display()))?;
    file.lock()
        .map_err(|error| format!("a lock can't be taken: {error}"))?;
    Ok(file)
}

/// Fetch a package and the libraries that it needs and the machine lacks, and unpack all of them into
/// `dir/root`.
pub(crate) fn unpack_with_libraries(package: &str, dir: &Path) -> Result<(), String> {
    let root = dir.join("root");
    let mut wanted = vec![package.to_owned()];
    let mut seen = wanted.clone();
    while let Some(package) = wanted.pop() {
        let archive = fetch(&package, dir)?;
        run(Command::new("dpkg").arg("-x").arg(&archive).arg(&root))?;
        let depends = run(Command::new("dpkg").arg("-f").arg(&archive).arg("Depends"))?;
        for library in libraries_named(&depends) {
            if !seen.contains(&library) && !is_installed(&library) {
                seen.push(library.clone());
                wanted.push(library);
            }
        }
    }
    Ok(())
}

/// Download one package into a folder; returns its file.
pub(crate) fn fetch(package: &str, dir: &Path) -> Result<PathBuf, String> {
    // The machine's own lists of packages may be missing, or too old to be right. Then fresh ones are
    // fetched to a place that needs no privilege; they serve the next package as well.
    if let Ok(file) = download(package, dir, &[]) {
        return Ok(file);
    }
    let options = private_apt(dir)?;
    if !dir.join("apt/updated").exists() {
        announce("the lists of packages are missing or too old: fetching them");
        run(Command::new("apt-get")
            .args(&options)
            .args(["-q", "update"]))?;
        File::create(dir.join("apt/updated"))
            .map_err(|error| format!("a file can't be made: {error}"))?;
    }
    download(package, dir, &options)
}

/// Download one package, by these options of apt's.
pub(crate) fn download(package: &str, dir: &Path, options: &[String]) -> Result<PathBuf, String> {
    let download = dir.join(package);
    fs::create_dir_all(&download)
        .map_err(|error| format!("{} can't be made: {error}", download.display()))?;
    run(Command::new("apt-get")
        .args(options)
        .args(["-q", "download", package])
        .current_dir(&download))?;
    let entries = fs::read_dir(&download)
        .map_err(|error| format!("{} can't be read: {error}", download.display()))?;
    let mut files = entries.flatten().map(|entry| entry.path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| format!("apt-get has downloaded nothing for {package}"))
}

/// Options with which apt uses lists and a cache of our own.
pub(crate) fn private_apt(dir: &Path) -> Result<Vec<String>, String> {
    let state = dir.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        let part = state.join(part);
        fs::create_dir_all(&part)
            .map_err(|error| format!("{} can't be made: {error}", part.display()))?;
    }
    let state = state.display();
    Ok(vec![
        format!("-oDir::State::lists={state}/lists"),
        format!("-oDir::Cache={state}/cache"),
        // When root runs apt, it fetches as another user, which can't write here.
        "-oAPT::Sandbox::User=root".to_owned(),
    ])
}

/// The libraries in a package's list of dependencies; of alternatives the first.
fn libraries_named(depends: &str) -> Vec<String> {
    let names = depends
        .split(',')
        .filter_map(|entry| entry.split(['|', '(', ':']).next());
    names
        .map(str::trim)
        .filter(|name| name.starts_with("lib") || *name == "zlib1g")
        .map(str::to_owned)
        .collect()
}

fn is_installed(package: &str) -> bool {
    run(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status}", package]))
        .is_ok_and(|status| status.starts_with("installed"))
}

/// The folder below an unpacked tree that has shared libraries.
pub(crate) fn library_dir(root: &Path) -> Option<PathBuf> {
    let lib = root.join("usr/lib");
    let entries = fs::read_dir(lib).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.contains("-linux-gnu"))
    })
}

/// How long a program may take that installs or builds something. A registry may take a connection and never answer.
const RUN_SECONDS: u64 = 900;

/// What `timeout` exits with when the time is over.
const TIMED_OUT: i32 = 124;

/// Run a program to its end and return what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    run_for(RUN_SECONDS, command)
}

/// The same with another limit.
fn run_for(seconds: u64, command: &Command) -> Result<String, String> {
    let shown = format!("{command:?}");
    let output = limited(seconds, command)
        .output()
        .map_err(|error| format!("{shown} can't be run: {error}"))?;
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(TIMED_OUT) => Err(format!("{shown} took more than {seconds} s")),
        _ => Err(format!(
            "{shown} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// The command, started by `timeout`, which ends it and what it has started.
fn limited(seconds: u64, command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited
        .args(["--kill-after=10", &seconds.to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    limited.env("LC_ALL", "C");
    limited
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::skipped;

    #[test]
    fn libraries_are_found_in_a_list_of_dependencies() {
        let depends = "libc6 (>= 2.34), libssl3:any (>= 3.0.0) | libssl4, zlib1g (>= 1), iproute2, nginx-common";
        assert_eq!(libraries_named(depends), ["libc6", "libssl3", "zlib1g"]);
        assert_eq!(libraries_named(""), [""; 0]);
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let started = "exec sleep 1000 & wait";
        let error = run_for(1, Command::new("sh").args(["-c", started])).unwrap_err();
        let expected = format!("\"sh\" \"-c\" \"{started}\" took more than 1 s");
        assert_eq!(error, expected);
        let folder = std::env::temp_dir();
        let mut command = Command::new("sh");
        command
            .args(["-c", "pwd; echo $LC_ALL $OWN"])
            .env("OWN", "own")
            .current_dir(&folder);
        let expected = format!("{}\nC own\n", folder.display());
        assert_eq!(run(&mut command).as_deref(), Ok(expected.as_str()));
        let error = run(&mut Command::new("/nowhere/at/all")).unwrap_err();
        assert!(error.contains("No such file or directory"), "{error}");
    }

    #[test]
    fn a_missing_program_is_fetched_and_runs() {
        // As good as any: small, and with libraries. It is not installed on the machine by this.
        let tool = fetched(&Package {
            command: "nginx",
            name: "nginx",
            program: "usr/sbin/nginx",
        });
        let tool = match tool {
            Ok(tool) => tool,
            Err(reason) if on_path("apt-get").is_none() => {
                return skipped(&format!("no apt-get here ({reason})"));
            }
            Err(reason) => panic!("{reason}"),
        };
        let mut command = Command::new(&tool.path);
        if let Some(libraries) = &tool.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let output = command.arg("-v").output().expect("nginx runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("nginx version"), "{stderr}");
    }
}
