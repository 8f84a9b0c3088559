//! From imported functions to what a component could do with them.

use super::ability::{Ability, Capability};
use super::read::{Interface, Reading, is_wasi_0_2};
use super::rules::{AnyOf, RULES, Wasi};
use std::collections::BTreeMap;

/// What the component could do, from what it imports.
pub(super) fn of(reading: &Reading) -> Vec<Capability> {
    let interfaces: Vec<_> = reading.interfaces().collect();
    let mut found: BTreeMap<Ability, bool> = BTreeMap::new();
    for (ability, wasi, needed) in RULES {
        let known = |any_of: &AnyOf| finding(&interfaces, *wasi, any_of);
        let all: Option<Vec<bool>> = needed.iter().map(known).collect();
        if let Some(all) = all {
            *found.entry(*ability).or_default() |= all.into_iter().all(|certain| certain);
        }
    }
    found
        .into_iter()
        .map(|(ability, certain)| Capability { ability, certain })
        .collect()
}

/// Whether one of the functions is imported: for certain, or, in a version of the interface that isn't
/// known, perhaps.
fn finding(interfaces: &[(&str, Interface<'_>)], wasi: Wasi, any_of: &AnyOf) -> Option<bool> {
    let (wanted, functions) = any_of;
    let mut perhaps = None;
    for (name, interface) in interfaces {
        if name.split('@').next() != Some(wanted) {
            continue;
        }
        match version(name) {
            Some(version) if version == wasi => {
                if functions.iter().any(|function| interface.has(function)) {
                    return Some(true);
                }
            }
            Some(_) => {}
            None => perhaps = perhaps.or(interface.names().next().map(|_| false)),
        }
    }
    perhaps
}

/// Of which version of WASI an interface is, if it is of one that is known.
fn version(name: &str) -> Option<Wasi> {
    let (interface, version) = name.split_once('@')?;
    if is_wasi_0_2(name, &format!("{interface}@")) {
        Some(Wasi::V0_2)
    } else if version.starts_with("0.3.") && !version.contains('-') {
        Some(Wasi::V0_3)
    } else {
        None
    }
}
