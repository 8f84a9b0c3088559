//! Redirects, and what the names of typed URLs may come to mean.

use super::*;

#[test]
fn a_redirect_is_granted_until_the_next_one() {
    let name = |text: &str| match text.parse() {
        Ok(Host::Name(name)) => name,
        other => panic!("{text:?} is {other:?}"),
    };
    let (one, two) = (name("one.example"), name("two.example"));
    let network = testing::authority(
        Policy::new()
            .allow_origin(origin("http://typed.example/"))
            .allow_redirects(),
    );
    let connects = |text| network.allows(Target::Connect(address(text)));
    let resolves = |name: &Name| network.allows(Target::Resolve(name.clone()));
    let typed = name("typed.example");
    let found = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
    assert!(resolves(&typed));
    network.resolved(&typed, found("10.0.0.1")).unwrap();
    assert!(!resolves(&one));

    network
        .redirected(Some(&origin("http://one.example:81/")))
        .unwrap();
    assert!(resolves(&one) && !resolves(&two));
    assert_eq!(network.resolved(&one, found("10.0.0.1")), None);
    assert_eq!(network.resolved(&two, found("1.1.1.2")), None);
    network.resolved(&one, found("1.1.1.1")).unwrap();
    for (asked, expected) in [
        ("1.1.1.1:81", true),
        ("1.1.1.1:80", false),
        ("1.1.1.2:81", false),
        ("10.0.0.1:81", false),
        ("10.0.0.1:80", true),
    ] {
        assert_eq!(connects(asked), expected, "{asked}");
    }

    // Another redirect takes its place, and what it resolved to is forgotten.
    network
        .redirected(Some(&origin("http://two.example:81/")))
        .unwrap();
    assert!(resolves(&two) && !resolves(&one));
    assert!(!connects("1.1.1.1:81"));
    network
        .redirected(Some(&origin("http://one.example:81/")))
        .unwrap();
    assert!(!connects("1.1.1.1:81"));
    // What was resolved for the user's own host is not.
    assert!(connects("10.0.0.1:80"));
    // The same one again is no other.
    network.resolved(&one, found("1.1.1.1")).unwrap();
    network
        .redirected(Some(&origin("http://one.example:81/other")))
        .unwrap();
    assert!(connects("1.1.1.1:81"));

    network.not_redirected();
    assert!(!resolves(&one) && resolves(&typed));
    assert!(!connects("1.1.1.1:81"));
    assert_eq!(network.resolved(&one, found("1.1.1.1")), None);
}

/// One that may fetch these URLs, and follow redirects.
fn following(urls: &[&str]) -> Authority {
    let policy = urls.iter().fold(Policy::new(), |policy, url| {
        policy.allow_origin(origin(url))
    });
    testing::authority(policy.allow_redirects())
}

#[test]
fn a_typed_name_does_not_move_inside_once_its_server_has_answered() {
    let url = "http://evil.example/";
    for (first, from) in [
        (&["1.2.3.4"][..], "1.2.3.4"),
        // It was both from the start; but it is the outside that answered.
        (&["127.0.0.1", "1.2.3.4"], "1.2.3.4"),
    ] {
        let network = following(&[url]);
        let evil = name("evil.example");
        let connects = |text| network.allows(Target::Connect(address(text)));
        let first = addresses(first);
        assert_eq!(network.resolved(&evil, first.clone()), Some(first));
        assert!(connects("1.2.3.4:80"));
        network.answered(&origin(url), from.parse().unwrap());
        for step in ["http://evil.example:6379/", "http://evil.example/", "again"] {
            match step {
                // A retry, or the same URL once more: no redirect is followed.
                "again" => network.not_redirected(),
                url => network.redirected(Some(&origin(url))).unwrap(),
            }
            assert!(network.allows(Target::Resolve(evil.clone())), "{step}");
            assert_eq!(network.resolved(&evil, addresses(&["127.0.0.1"])), None);
            for refused in ["127.0.0.1:6379", "127.0.0.1:80"] {
                assert!(!connects(refused), "{step}: {refused}");
            }
            // It may move among public addresses.
            let told = network.resolved(&evil, addresses(&["127.0.0.1", "5.6.7.8"]));
            assert_eq!(told, Some(addresses(&["5.6.7.8"])), "{step}");
            assert!(connects("5.6.7.8:80"), "{step}");
        }
        let refusal = testing::refusal(&network, &Target::Resolve(name("evil.example")));
        assert_eq!(
            text(refusal.unwrap()),
            "not allowed to resolve evil.example: after its first response, the host of a given URL may \
             change only to public addresses, and evil.example is now at 127.0.0.1, which is loopback \
             (127.0.0.0/8) (allow-private would allow it)"
        );
    }
}

#[test]
fn a_typed_name_stays_where_it_was_before_its_server_answered() {
    let url = "http://inside.example/";
    let network = following(&[url]);
    let inside = name("inside.example");
    let connects = |text: &str| network.allows(Target::Connect(address(text)));
    // No response has come of the first: an attempt that failed.
    network.resolved(&inside, addresses(&["10.0.0.1"])).unwrap();
    network.resolved(&inside, addresses(&["10.0.0.2"])).unwrap();
    network.answered(&origin(url), "10.0.0.2".parse().unwrap());
    network
        .redirected(Some(&origin("http://inside.example:81/")))
        .unwrap();
    for known in ["10.0.0.1", "10.0.0.2"] {
        network.resolved(&inside, addresses(&[known])).unwrap();
        assert!(connects(&format!("{known}:81")), "{known}");
        assert!(!connects(&format!("{known}:82")), "{known}");
    }
    assert_eq!(network.resolved(&inside, addresses(&["10.0.0.3"])), None);
}

#[test]
fn a_server_makes_no_other_typed_name_mean_the_inside() {
    let urls = ["http://evil.example/", "http://also.evil.example/"];
    let network = following(&urls);
    let (evil, other) = (name("evil.example"), name("also.evil.example"));
    network.resolved(&evil, addresses(&["1.2.3.4"])).unwrap();
    network.answered(&origin(urls[0]), "1.2.3.4".parse().unwrap());
    network
        .redirected(Some(&origin("http://also.evil.example:6379/")))
        .unwrap();
    assert_eq!(network.resolved(&other, addresses(&["127.0.0.1"])), None);
    // The second URL is requested by the user, not by a redirect.
    network.not_redirected();
    network.resolved(&other, addresses(&["127.0.0.1"])).unwrap();
    assert!(network.allows(Target::Connect(address("127.0.0.1:80"))));
    // A redirect there reaches what the user's own request did.
    network
        .redirected(Some(&origin("http://also.evil.example:81/")))
        .unwrap();
    network.resolved(&other, addresses(&["127.0.0.1"])).unwrap();
    assert_eq!(network.resolved(&other, addresses(&["127.0.0.2"])), None);
}

#[test]
fn neither_a_redirect_nor_a_name_leads_into_a_network_of_ones_own() {
    let policy = Policy::new()
        .allow_origin(origin("http://typed.example/"))
        .allow_connect_to("named.example:80")
        .unwrap()
        .allow_redirects();
    let network = testing::authority(policy);
    let local = sockbox_policy::LocalNetworks::new()
        .address("1.2.3.4".parse().unwrap())
        .network("[2a00:1::/64]".parse().unwrap());
    // As if it had just been read.
    {
        let mut granted = locked(&network.granted);
        granted.names.set_local_networks(local);
        granted.local_read = Instant::now().checked_add(Duration::from_secs(3600));
    }
    for host in ["1.2.3.4", "[2a00:1::7]", "[64:ff9b::1.2.3.4]", "16909060"] {
        let refused = network.redirected(Some(&origin(&format!("http://{host}:81/"))));
        let reason = refused.unwrap_err().reason;
        assert!(matches!(reason, DenialReason::NotPublic { .. }), "{reason}");
    }
    network
        .redirected(Some(&origin("http://1.2.3.5:81/")))
        .unwrap();
    network
        .redirected(Some(&origin("http://other.example/")))
        .unwrap();
    for own in ["1.2.3.4", "2a00:1::7"] {
        for asked in ["other.example", "named.example"] {
            assert_eq!(
                network.resolved(&name(asked), addresses(&[own])),
                None,
                "{asked}"
            );
        }
        // The user typed this one, and no server has said anything yet.
        let typed = name("typed.example");
        network.resolved(&typed, addresses(&[own])).unwrap();
    }
    let refusal = testing::refusal(&network, &Target::Resolve(name("named.example")));
    assert_eq!(
        text(refusal.unwrap()),
        "not allowed to resolve named.example: a granted name reaches public addresses only, and \
         named.example is at 2a00:1::7, which is in a network that this machine is connected to (2a00:1::/64) \
         (allow-private would allow it)"
    );
}

#[test]
fn a_redirect_to_an_address_is_refused_at_once() {
    let typed = Policy::new().allow_origin(origin("http://typed.example/"));
    let network = testing::authority(typed.clone().allow_redirects());
    let Ok(Host::Name(name)) = "typed.example".parse() else {
        panic!("a name")
    };
    let found = vec!["10.0.0.1".parse().unwrap()];
    network.resolved(&name, found).unwrap();
    for (url, expected) in [
        ("http://1.1.1.1/", None),
        ("http://127.0.0.1:81/", Some("127.0.0.1:81")),
        ("http://0x7f000001/", Some("127.0.0.1:80")),
        ("http://[::ffff:127.0.0.1]/", Some("127.0.0.1:80")),
        ("https://[fe80::1]/", Some("[fe80::1]:443")),
        ("http://0/", Some("0.0.0.0:80")),
        ("http://localhost/", None),
        // What the user's host is at is granted already, and nothing more of it.
        ("http://10.0.0.1/", None),
        ("http://10.0.0.1:81/", Some("10.0.0.1:81")),
    ] {
        let refused = network
            .redirected(Some(&origin(url)))
            .err()
            .map(|refused| refused.target);
        let expected = expected.map(|text| Target::Connect(address(text)));
        assert_eq!(refused, expected, "{url}");
    }
    // Without redirects it is for the component to try, and for the policy to refuse then.
    let network = testing::authority(typed);
    assert_eq!(
        network.redirected(Some(&origin("http://127.0.0.1/"))),
        Ok(())
    );
}
