use proptest::prelude::*;

use super::*;

#[test]
fn names_are_found_in_any_case_with_each_address_once() {
    let mut zone = Zone::new(Domain::default());
    for (name, address) in [
        ("C1.weave.local", 1),
        ("c1.weave.local", 1),
        ("c1.WEAVE.local", 2),
    ] {
        zone.insert(&name.parse().unwrap(), ip(address));
    }
    assert!(zone.addresses("c1.Weave.Local.").eq([ip(1), ip(2)]));
    zone.remove(&"c1.weave.local".parse().unwrap(), ip(1));
    assert!(zone.addresses("c1.weave.local").eq([ip(1), ip(2)]));
    zone.remove(&"C1.weave.local".parse().unwrap(), ip(1));
    assert!(zone.addresses("c1.weave.local").eq([ip(2)]));
}

#[test]
fn a_name_with_others_below_is_there_until_they_go() {
    let mut zone = Zone::new(Domain::default());
    let name: HostName = "a.B.c.weave.local".parse().unwrap();
    zone.insert(&name, ip(1));
    for between in ["b.c.weave.local", "c.weave.local"] {
        assert_eq!(zone.find(between), Found::Below);
    }
    assert_eq!(zone.find("local"), Found::Nothing);
    zone.insert(&"c.weave.local".parse().unwrap(), ip(2));
    zone.remove(&name, ip(1));
    assert_eq!(zone.find("b.c.weave.local"), Found::Nothing);
    assert_eq!(zone.find("c.weave.local"), Found::Addresses(&[(ip(2), 1)]));
}

#[test]
fn an_address_has_the_first_of_its_names_in_the_case_that_it_was_given() {
    let mut zone = Zone::new(Domain::default());
    let names: [HostName; 3] = ["b.x", "A.x", "c.x"].map(|name| name.parse().unwrap());
    for name in &names {
        zone.insert(name, ip(1));
    }
    assert_eq!(zone.host(ip(1)), Some(&names[1]));
    zone.remove(&names[1], ip(1));
    assert_eq!(zone.host(ip(1)), Some(&names[0]));
    assert_eq!(zone.host(ip(2)), None);
}

#[test]
fn a_copy_stays_as_it_was() {
    let mut zone = Zone::new(Domain::default());
    let name: HostName = "c1.weave.local".parse().unwrap();
    zone.insert(&name, ip(1));
    let copy = zone.clone();
    zone.remove(&name, ip(1));
    assert!(copy.addresses("c1.weave.local").eq([ip(1)]));
    assert_eq!(zone.addresses("c1.weave.local").count(), 0);
    assert_ne!(copy.version(), zone.version());
}

proptest! {
    /// Whatever came and went: what is found is what a list of all that is there says.
    #[test]
    fn it_finds_what_a_list_would(steps in prop::collection::vec((any::<bool>(), 0..24usize, 0..4u8), 0..80)) {
        let mut zone = Zone::new("x".parse().unwrap());
        let mut list: Vec<(HostName, Ipv4Addr)> = Vec::new();
        let names: Vec<HostName> = ["a", "A", "b"].iter().flat_map(|last| {
            ["", "a.", "b.", "B.", "a.b.", "b.a.", "c.b.a.", "B.b."].map(|head| format!("{head}{last}.x").parse().unwrap())
        }).collect();
        for (add, name, address) in steps {
            let said = (names[name].clone(), ip(address));
            if add {
                zone.insert(&said.0, said.1);
                list.push(said);
            } else if let Some(at) = list.iter().position(|there| *there == said) {
                zone.remove(&said.0, said.1);
                list.swap_remove(at);
            }
        }
        for name in &names {
            let key = name.key();
            let mut addresses: Vec<Ipv4Addr> =
                list.iter().filter(|(there, _)| there.key() == key).map(|(_, address)| *address).collect();
            addresses.sort();
            addresses.dedup();
            prop_assert!(zone.addresses(name.as_str()).eq(addresses.iter().copied()));
            let below = list.iter().any(|(there, _)| there.key().ends_with(&format!(".{key}")));
            prop_assert_eq!(zone.find(&key) == Found::Nothing, addresses.is_empty() && !below);
        }
        for address in (0..4).map(ip) {
            let first = list.iter().filter(|(_, there)| *there == address).map(|(name, _)| name).min();
            prop_assert_eq!(zone.host(address), first);
        }
    }
}

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 32, 0, last)
}
