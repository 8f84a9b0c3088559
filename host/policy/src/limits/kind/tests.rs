use super::*;

#[test]
fn every_limit_can_be_set_and_told() {
    for limit in Limit::all() {
        let mut limits = Limits::default();
        let value = match limit.unit() {
            Unit::Bytes => "3M",
            Unit::Seconds => "2.5",
            Unit::Count => "7",
        };
        limits.set(limit, value).unwrap();
        assert_eq!(limits.value(limit), value, "{limit:?}");
        assert_ne!(limits, Limits::default(), "{limit:?}");
        assert_eq!(limit.key().parse(), Ok(limit));
        let old = limit.old_key().map(|old| old.parse());
        assert!(old.is_none_or(|old| old == Ok(limit)), "{limit:?}");
        let mut same = Limits::default();
        same.set(limit, &Limits::default().value(limit)).unwrap();
        assert_eq!(same, Limits::default(), "{limit:?}");
        for wrong in ["", "x", "-1", "1x", "nan", " 1", "None"] {
            let error = limits.set(limit, wrong).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("`{}` can't be", limit.key())),
                "{error}"
            );
        }
    }
    assert_eq!(Limit::all().count(), 22);
}

#[test]
fn what_needs_a_bound_has_one() {
    for (limit, expected) in [
        (Limit::Memory, false),
        (Limit::Sockets, false),
        (Limit::ResolveTimeout, false),
        (Limit::WallTime, true),
        (Limit::SentBytes, true),
        (Limit::Resolutions, true),
        (Limit::ConnectsPerSecond, true),
    ] {
        let set = Limits::default().set(limit, "none");
        assert_eq!(set.is_ok(), expected, "{limit:?}");
    }
}

#[test]
fn what_is_no_limit_is_told_what_there_is() {
    let error = "max-socket".parse::<Limit>().unwrap_err().to_string();
    assert!(
        error.starts_with("`max-socket` is not a limit: there are max-memory, "),
        "{error}"
    );
}
