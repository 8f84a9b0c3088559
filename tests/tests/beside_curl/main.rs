//! `sockbox fetch` beside curl: the same command line, the same bytes on standard output and in files,
//! the same exit code.

mod bounds;
mod case;
mod differences;
mod facts;
mod output;
mod proxies;
mod requests;
mod responses;
mod servers;
mod shown;
mod tables;

use crate::case::Case;
use crate::differences::DIFFERENCES;
use crate::servers::Servers;
use crate::shown::SHOWN;
use sockbox_tests::Outcome;
use std::sync::{Mutex, MutexGuard};

/// How many cases run at once. They spend nearly all of their time waiting.
const AT_ONCE: usize = 8;

/// The result of a case.
struct Beside<'a> {
    case: &'a Case,
    /// The exit codes.
    curl: i32,
    sockbox: i32,
    /// The differences, as a text.
    difference: Option<String>,
}

/// Run cases beside curl. They are returned in their order.
fn run<'a>(cases: impl IntoIterator<Item = &'a Case>) -> Vec<Beside<'a>> {
    let servers = Servers::start();
    let cases: Vec<&Case> = cases.into_iter().collect();
    let cases = Mutex::new(cases.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = locked(&cases).next();
                    let Some((number, case)) = next else { return };
                    let (curl, sockbox) = servers.run(case);
                    let beside = Beside {
                        case,
                        curl: curl.code,
                        sockbox: sockbox.code,
                        difference: Outcome::difference(&curl, &sockbox),
                    };
                    locked(&done).push((number, beside));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no thread has panicked");
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, beside)| beside).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread has panicked")
}

/// Run cases beside curl, and assert that nothing differs. A failure lists all differences.
#[track_caller]
fn assert_same<'a>(cases: &[&'a [Case]]) -> Vec<Beside<'a>> {
    let all = run(cases.iter().copied().flatten());
    let mut wrong = Vec::new();
    for beside in &all {
        let difference = match &beside.difference {
            Some(difference) => difference,
            None if beside.curl == beside.case.code => continue,
            None => &format!("both ended with {}", beside.curl),
        };
        wrong.push(format!(
            "{}: {}, expected {}\n{difference}",
            beside.case.what, beside.case.args, beside.case.code
        ));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases differ:\n\n{}",
        wrong.len(),
        all.len(),
        wrong.join("\n\n")
    );
    all
}

/// Run the cases with known differences, and assert exactly these differences.
#[track_caller]
fn assert_different() -> Vec<Beside<'static>> {
    let all = run(DIFFERENCES.iter().map(|difference| &difference.case));
    for (beside, known) in all.iter().zip(DIFFERENCES) {
        let what = known.case.what;
        let difference = beside.difference.as_ref();
        let difference = difference.unwrap_or_else(|| panic!("{what}: no difference"));
        assert_eq!(
            (beside.curl, beside.sockbox),
            (known.curls_code, known.case.code),
            "{what} ({})\n{difference}",
            known.why
        );
    }
    all
}

#[test]
fn what_the_readme_shows() {
    tables::assert_shown(&assert_same(&[SHOWN]), &assert_different());
}

#[test]
fn pages_and_where_they_go() {
    assert_same(&[output::PAGES, output::OUTPUT, output::SEVERAL]);
}

#[test]
fn what_is_asked_for() {
    assert_same(&[requests::REQUESTS, requests::CONDITIONS]);
}

#[test]
fn what_is_made_of_answers() {
    assert_same(&[
        responses::RESPONSES,
        responses::CODINGS,
        responses::REDIRECTS,
    ]);
}

#[test]
fn what_ends_a_request_and_what_is_tried_again() {
    assert_same(&[bounds::BOUNDS, bounds::RETRIES]);
}

#[test]
fn what_goes_through_a_proxy() {
    assert_same(&[proxies::PROXIES]);
}

#[test]
fn what_is_told() {
    assert_same(&[facts::FACTS]);
}
