use super::*;

#[test]
fn the_interface_goes_with_the_last_address() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        let before = snapshot(&["c1"]);
        let wanted = attach(container.clone(), &["10.32.0.5/12", "10.48.0.5/24"]);
        wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();

        let first = detach(container.clone(), &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap();
        let detached = first.apply(&links).await.unwrap();
        assert!(!detached.interface_removed);
        assert_eq!(detached.removed, ["10.32.0.5/12".parse().unwrap()]);
        assert_eq!(
            addresses_of(&ip(&["-n", "c1", "addr"]), "ethwe"),
            ["10.48.0.5/24"]
        );
        // Once more changes nothing.
        let again = detach(container.clone(), &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap();
        assert!(again.steps().is_empty());

        let last = detach(container.clone(), &["10.48.0.5/24"])
            .plan(&links)
            .await
            .unwrap();
        assert!(last.apply(&links).await.unwrap().interface_removed);
        assert_same(&snapshot(&["c1"]), &before, "in the end");
        let nothing = detach(container, &[]).plan(&links).await.unwrap();
        assert_eq!(nothing.apply(&links).await.unwrap(), Detached::default());
    });
}

#[test]
fn naming_no_address_takes_all() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        let before = snapshot(&["c1"]);
        let wanted = attach(container.clone(), &["10.32.0.5/12", "10.48.0.5/24"]);
        wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        let detached = detach(container, &[])
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap();
        assert_eq!(detached.removed.len(), 2);
        assert!(detached.interface_removed);
        assert_same(&snapshot(&["c1"]), &before, "in the end");
    });
}

#[test]
fn the_other_addresses_of_a_subnet_stay() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        let wanted = attach(
            container.clone(),
            &["10.32.0.5/12", "10.32.0.6/12", "10.32.0.7/12"],
        );
        wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        for promote in ["1", "0"] {
            for which in ["all", "ethwe"] {
                let setting = format!("net.ipv4.conf.{which}.promote_secondaries={promote}");
                run("ip", &["netns", "exec", "c1", "sysctl", "-qw", &setting]);
            }
            let first = addresses_of(&ip(&["-n", "c1", "addr"]), "ethwe")[0].clone();
            detach(container.clone(), &[&first])
                .plan(&links)
                .await
                .unwrap()
                .apply(&links)
                .await
                .unwrap();
            let left = addresses_of(&ip(&["-n", "c1", "addr"]), "ethwe");
            assert!(!left.contains(&first));
            assert_eq!(left.len(), if promote == "1" { 2 } else { 1 });
        }
    });
}

#[test]
fn a_failure_at_any_step_puts_every_address_back() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        let wanted = attach(
            container.clone(),
            &["10.32.0.5/12", "10.48.0.5/24", "10.49.0.5/24"],
        );
        wanted.plan(&links).await.unwrap().apply(&links).await.unwrap();
        let before = sorted_addresses();
        let plan = detach(container, &["10.32.0.5/12", "10.49.0.5/24"])
            .plan(&links)
            .await
            .unwrap();
        assert_eq!(plan.steps().len(), 2);
        for failing in 0..2 {
            let result = plan
                .apply_unless(&links, |step| (step == failing).then(|| kernel(Errno::ENOMEM)))
                .await;
            assert!(matches!(result.unwrap_err(), DetachError::Step { left, .. } if left.is_empty()));
            assert_eq!(sorted_addresses(), before);
        }
        plan.apply(&links).await.unwrap();
        assert_eq!(sorted_addresses(), ["10.48.0.5/24"]);
    });
}

fn sorted_addresses() -> Vec<String> {
    let mut addresses = addresses_of(&ip(&["-n", "c1", "addr"]), "ethwe");
    addresses.sort();
    addresses
}

#[test]
fn a_container_that_is_gone_is_detached() {
    on_a_host(|links| async move {
        let before = snapshot(&[]);
        let mut process = Process::start();
        let netns = process.netns();
        // Something else still holds the namespace, and with it the pair.
        let held = netns.open().unwrap();
        attach(netns.clone(), &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap();
        process.kill();
        let detached = detach(netns, &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap();
        assert!(detached.interface_removed && detached.removed.is_empty());
        assert_same(&snapshot(&[]), &before, "in the end");
        drop(held);
    });
}

#[test]
fn an_interface_that_the_container_renamed_goes_all_the_same() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        let before = snapshot(&["c1"]);
        attach(container.clone(), &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap();
        run("ip", &["-n", "c1", "link", "set", "ethwe", "down"]);
        run("ip", &["-n", "c1", "link", "set", "ethwe", "name", "mine"]);
        let detached = detach(container, &[])
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap();
        assert!(detached.interface_removed);
        assert_same(&snapshot(&["c1"]), &before, "in the end");
    });
}
