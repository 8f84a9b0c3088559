//! The file systems of this machine, and where they are mounted.

use std::path::PathBuf;

/// A file system, or a part of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) path: PathBuf,
    /// As the kernel calls it: `ext4`.
    kind: String,
}

/// The kinds through which the kernel shows its processes, its memory and devices, and takes settings.
const KERNELS: [&str; 15] = [
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "functionfs",
    "proc",
    "resctrl",
    "securityfs",
    "sysfs",
    "tracefs",
];

impl Mount {
    /// Whether what is in it are no files, but the kernel's memory, processes and devices.
    pub(crate) fn is_kernels(&self) -> bool {
        KERNELS.contains(&self.kind.as_str())
    }
}

/// All mounts, those that hide others after them.
#[cfg(target_os = "linux")]
pub(crate) fn mounts() -> Vec<Mount> {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    table
        .split(|byte| *byte == b'\n')
        .filter_map(mount)
        .collect()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn mounts() -> Vec<Mount> {
    Vec::new()
}

/// A line of mountinfo, as proc(5) has it. The mount point is the fifth field, with some characters written as three
/// octal digits behind a backslash; the kind is the field after a `-`.
#[cfg(target_os = "linux")]
fn mount(line: &[u8]) -> Option<Mount> {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let mut fields = line.split(|byte| *byte == b' ');
    let mut rest = fields.nth(4)?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let mut path = Vec::new();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        let octal = others.first_chunk::<3>().filter(|_| *first == b'\\');
        let number = octal.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match number {
            Some(byte) => {
                path.push(byte);
                rest = others.get(3..).unwrap_or_default();
            }
            None => path.push(*first),
        }
    }
    Some(Mount {
        path: OsString::from_vec(path).into(),
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_they_are_written() {
        for (line, expected) in [
            (
                "36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw",
                Some(("/mnt", "ext3")),
            ),
            (
                r"36 35 98:0 / /a\040b\134c rw - proc proc rw",
                Some((r"/a b\c", "proc")),
            ),
            (
                r"36 35 98:0 / /a\04 rw - sysfs x rw",
                Some((r"/a\04", "sysfs")),
            ),
            ("36 35 98:0 / /a rw", None),
            ("36 35", None),
            ("", None),
        ] {
            let expected = expected.map(|(path, kind)| Mount {
                path: path.into(),
                kind: kind.to_owned(),
            });
            assert_eq!(mount(line.as_bytes()), expected, "{line}");
        }
        let mounts = mounts();
        let kind = |path: &str| mounts.iter().rfind(|mount| mount.path.as_os_str() == path);
        assert!(!kind("/").unwrap().is_kernels());
        assert!(kind("/proc").unwrap().is_kernels());
    }
}
