use super::*;
use sockbox_component::engine;
use std::cell::Cell;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A folder for compiled components, inside a temporary folder.
struct Fixture {
    root: tempfile::TempDir,
    engine: Engine,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture {
            root: tempfile::tempdir().unwrap(),
            engine: Engine::new(&engine::config(false)).unwrap(),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("deep/cache")
    }

    /// Asks for the component, and says what was done, and whether that was compiling.
    fn ask(&self, wasm: &[u8]) -> (CacheUse, bool) {
        self.ask_in(&self.folder(), wasm)
    }

    fn ask_in(&self, folder: &Path, wasm: &[u8]) -> (CacheUse, bool) {
        let compiled = Cell::new(false);
        let compile = || {
            compiled.set(true);
            Component::from_binary(&self.engine, wasm)
        };
        let cache = Cache::new(folder.to_owned(), None);
        let (component, used) = cache.component(&self.engine, wasm, compile).unwrap();
        assert!(component.component_type().exports(&self.engine).len() <= 1);
        (used, compiled.get())
    }

    /// The entries that there are.
    fn entries(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder()).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }

    fn entry(&self) -> PathBuf {
        let mut entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }
}

fn component(name: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (core module ${name}))")).unwrap()
}

const KEPT: (CacheUse, bool) = (CacheUse::Kept { rejected: None }, true);
const LOADED: (CacheUse, bool) = (CacheUse::Loaded, false);

#[test]
fn what_was_compiled_is_found_again() {
    let fixture = Fixture::new();
    assert_eq!(fixture.ask(&component("a")), KEPT);
    assert_eq!(fixture.ask(&component("a")), LOADED);
    assert_eq!(fixture.ask(&component("b")), KEPT);
    assert_eq!(fixture.ask(&component("a")), LOADED);
    assert_eq!(fixture.entries().len(), 2);
    // For this user alone.
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&fixture.folder()), 0o700);
    assert_eq!(mode(&fixture.entries()[0]), 0o600);
}

#[test]
fn another_engine_has_entries_of_its_own() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.ask(&component("a")), KEPT);
    fixture.engine = Engine::new(&engine::config(true)).unwrap();
    assert_eq!(fixture.ask(&component("a")), KEPT);
    assert_eq!(fixture.entries().len(), 2);
}

#[test]
fn a_damaged_entry_is_compiled_anew() {
    let fixture = Fixture::new();
    let wasm = component("a");
    fixture.ask(&wasm);
    let whole = fs::read(fixture.entry()).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    for bytes in [
        Vec::new(),
        whole[..HASH - 1].to_vec(),
        whole[..HASH].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"x"].concat(),
        flipped(0),
        flipped(HASH),
        flipped(whole.len() / 2),
        flipped(whole.len() - 1),
    ] {
        fs::write(fixture.entry(), &bytes).unwrap();
        let (used, compiled) = fixture.ask(&wasm);
        assert!(
            matches!(&used, CacheUse::Kept { rejected: Some(reason) } if reason.contains("damaged")),
            "{used:?}"
        );
        assert!(compiled);
        assert!(fs::read(fixture.entry()).unwrap() == whole);
        assert_eq!(fixture.ask(&wasm), LOADED);
    }
}

#[test]
fn the_entry_of_another_component_is_not_taken() {
    let fixture = Fixture::new();
    fixture.ask(&component("a"));
    let a = fixture.entry();
    let of_a = fs::read(&a).unwrap();
    fixture.ask(&component("b"));
    for entry in fixture.entries() {
        fs::write(entry, &of_a).unwrap();
    }
    assert_eq!(fixture.ask(&component("a")), LOADED);
    let (used, compiled) = fixture.ask(&component("b"));
    assert!(
        matches!(used, CacheUse::Kept { rejected: Some(_) }),
        "{used:?}"
    );
    assert!(compiled);
}

#[test]
fn what_others_could_have_written_is_not_taken() {
    let fixture = Fixture::new();
    let wasm = component("a");
    fixture.ask(&wasm);
    let entry = fixture.entry();
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&entry, Permissions::from_mode(mode)).unwrap();
        let (used, compiled) = fixture.ask(&wasm);
        assert!(
            matches!(&used, CacheUse::Kept { rejected: Some(reason) } if reason.contains("other users")),
            "{used:?}"
        );
        assert!(compiled);
    }
    // A link to a file that would be accepted.
    let elsewhere = fixture.root.path().join("elsewhere");
    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    assert!(fixture.ask(&wasm).1);
    // A pipe without a writer.
    fs::remove_file(&entry).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &entry,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(fixture.ask(&wasm).1);
    assert_eq!(fixture.ask(&wasm), LOADED);

    for mode in [0o770, 0o707, 0o777] {
        fs::set_permissions(fixture.folder(), Permissions::from_mode(mode)).unwrap();
        let (used, compiled) = fixture.ask(&wasm);
        assert!(
            matches!(&used, CacheUse::Unusable { reason } if reason.contains("other users")),
            "{used:?}"
        );
        assert!(compiled);
    }
    fs::set_permissions(fixture.folder(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(fixture.ask(&wasm), LOADED);
    let link = fixture.root.path().join("link");
    symlink(fixture.folder(), &link).unwrap();
    let (used, compiled) = fixture.ask_in(&link, &wasm);
    assert!(matches!(used, CacheUse::Unusable { .. }), "{used:?}");
    assert!(compiled);
}

#[test]
fn what_another_user_owns_is_not_taken() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let nobody = 65534;
    let fixture = Fixture::new();
    let wasm = component("a");
    fixture.ask(&wasm);
    std::os::unix::fs::chown(fixture.entry(), Some(nobody), None).unwrap();
    let (used, compiled) = fixture.ask(&wasm);
    assert!(
        matches!(&used, CacheUse::Kept { rejected: Some(reason) } if reason.contains("another user")),
        "{used:?}"
    );
    assert!(compiled);
    std::os::unix::fs::chown(fixture.folder(), Some(nobody), None).unwrap();
    let (used, compiled) = fixture.ask(&wasm);
    assert!(
        matches!(&used, CacheUse::Unusable { reason } if reason.contains("another user")),
        "{used:?}"
    );
    assert!(compiled);
}

#[test]
fn a_folder_that_can_not_be_does_no_harm() {
    let fixture = Fixture::new();
    let file = fixture.root.path().join("file");
    File::create(&file).unwrap();
    for folder in [
        file.clone(),
        file.join("cache"),
        PathBuf::from("/proc/cache"),
    ] {
        let (used, compiled) = fixture.ask_in(&folder, &component("a"));
        assert!(matches!(used, CacheUse::Unusable { .. }), "{used:?}");
        assert!(compiled);
    }
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let fixture = Fixture::new();
    let names = ["a", "b", "c", "d"];
    let now = SystemTime::now();
    for (age, name) in names.into_iter().enumerate() {
        let before = fixture.entries_if_any();
        fixture.ask(&component(name));
        let new = fixture
            .entries()
            .into_iter()
            .find(|it| !before.contains(it));
        let file = File::options().write(true).open(new.unwrap()).unwrap();
        file.set_modified(now - Duration::from_secs(1000 - age as u64))
            .unwrap();
    }
    // `a` is the oldest, and in use.
    assert_eq!(fixture.ask(&component("a")), LOADED);
    let mine = fixture.folder().join("mine.txt");
    fs::write(&mine, [0; 100_000]).unwrap();
    let entry = format!("{}.cwasm", "0".repeat(64));
    let left = fixture.folder().join(format!("{entry}.0123"));
    let written = fixture.folder().join(format!("{entry}.4567"));
    File::create(&written).unwrap();
    let file = File::create(&left).unwrap();
    file.set_modified(now - Duration::from_secs(7200)).unwrap();

    let sizes = fixture.entries();
    let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let total: u64 = sizes.iter().filter(|it| **it != mine).map(size).sum();
    Folder::open(&fixture.folder()).unwrap().shrink(total - 1);
    assert!(mine.exists(), "what isn't of the cache stays");
    assert!(written.exists(), "another process is writing it");
    assert!(!left.exists(), "no process writes it any more");
    assert_eq!(fixture.ask(&component("a")), LOADED);
    assert_eq!(fixture.ask(&component("c")), LOADED);
    assert_eq!(fixture.ask(&component("d")), LOADED);
    assert_eq!(fixture.ask(&component("b")), KEPT);
}

impl Fixture {
    fn entries_if_any(&self) -> Vec<PathBuf> {
        match self.folder().exists() {
            true => self.entries(),
            false => Vec::new(),
        }
    }
}

#[test]
fn a_mistake_in_the_component_is_told_and_nothing_is_kept() {
    let fixture = Fixture::new();
    let cache = Cache::new(fixture.folder(), None);
    let broken = b"\0asm\x0d\0\x01\0\xff";
    let compile = || Component::from_binary(&fixture.engine, broken);
    assert!(cache.component(&fixture.engine, broken, compile).is_err());
    assert!(fixture.entries().is_empty());
}

#[test]
fn what_was_written_without_the_secret_is_not_taken() {
    let fixture = Fixture::new();
    let wasm = component("a");
    assert_eq!(fixture.ask(&wasm), KEPT);
    let whole = fs::read(fixture.entry()).unwrap();
    let code = &whole[HASH..];
    // The seal that a component can compute if it may write to and read the folder, but not the
    // secret.
    let key = Key::new(&fixture.engine, &wasm, [0; HASH]);
    let mut plain = Sha256::new();
    plain.update(key.hash);
    plain.update(code);
    let plain: [u8; HASH] = plain.finalize().into();
    for seal in [plain, key.seal(code)] {
        fs::write(fixture.entry(), [&seal, code].concat()).unwrap();
        let (used, compiled) = fixture.ask(&wasm);
        assert!(
            matches!(&used, CacheUse::Kept { rejected: Some(_) }),
            "{used:?}"
        );
        assert!(compiled);
    }
    // Nor is what was sealed with another secret.
    let secret = fixture.root.path().join("deep/cache.key");
    assert_eq!(fs::metadata(&secret).unwrap().mode() & 0o7777, 0o600);
    fs::remove_file(&secret).unwrap();
    assert!(fixture.ask(&wasm).1);
    assert_eq!(fixture.ask(&wasm), LOADED);
}

#[test]
fn a_secret_that_others_could_know_is_not_used() {
    let fixture = Fixture::new();
    let wasm = component("a");
    assert_eq!(fixture.ask(&wasm), KEPT);
    let secret = fixture.root.path().join("deep/cache.key");
    let is_unusable = |expected: &str| {
        let (used, compiled) = fixture.ask(&wasm);
        assert!(
            matches!(&used, CacheUse::Unusable { reason } if reason.contains(expected)),
            "{used:?}"
        );
        assert!(compiled);
    };
    for mode in [0o640, 0o604, 0o620, 0o602] {
        fs::set_permissions(&secret, Permissions::from_mode(mode)).unwrap();
        is_unusable("other users");
    }
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(fixture.ask(&wasm), LOADED);
    for content in [&b""[..], &[0; HASH - 1], &[0; HASH + 1]] {
        fs::write(&secret, content).unwrap();
        is_unusable("not a secret");
    }
    let elsewhere = fixture.root.path().join("elsewhere");
    fs::rename(&secret, &elsewhere).unwrap();
    symlink(&elsewhere, &secret).unwrap();
    is_unusable("can't be read");
}

#[test]
fn an_entry_with_a_second_name_is_not_taken() {
    let fixture = Fixture::new();
    let wasm = component("a");
    assert_eq!(fixture.ask(&wasm), KEPT);
    let second = fixture.root.path().join("second");
    fs::hard_link(fixture.entry(), &second).unwrap();
    let (used, compiled) = fixture.ask(&wasm);
    assert!(
        matches!(&used, CacheUse::Kept { rejected: Some(reason) } if reason.contains("second name")),
        "{used:?}"
    );
    assert!(compiled);
    assert_eq!(
        fixture.ask(&wasm),
        LOADED,
        "it was replaced, not written to"
    );
}

#[test]
fn the_secret_is_beside_the_folder() {
    for (folder, expected) in [("a/cache", "a/cache.key"), ("a/cache/", "a/cache.key")] {
        assert_eq!(beside(Path::new(folder)), Path::new(expected));
    }
}

#[test]
fn seals_are_hmacs() {
    // RFC 4231's second test, with its key padded by zeros to the length of ours, which HMAC does itself.
    let mut secret = [0; HASH];
    secret[..4].copy_from_slice(b"Jefe");
    let seal = hmac(&secret, &[b"what do ya want ", b"for nothing?"]);
    let hex: String = seal.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        hex,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}
