use super::*;

#[test]
fn a_failure_at_any_step_of_a_fresh_attach_undoes_all() {
    on_a_host(|links| async move {
        let bridge = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        let mut wanted = attach(named_container("c1"), &["10.32.0.5/12", "10.48.0.5/24"]);
        wanted.master = Some(bridge.index);
        let plan = wanted.plan(&links).await.unwrap();
        assert_eq!(plan.steps().len(), 9);
        fails_cleanly_at_every_step(&links, &plan).await;
    });
}

#[test]
fn a_failure_at_any_step_of_completing_an_attach_undoes_all() {
    on_a_host(|links| async move {
        let bridge = links.ensure_bridge(&name("weave"), 1400, None).await.unwrap();
        let container = named_container("c1");
        run(
            "ip",
            &[
                "link",
                "add",
                "vethwepltest",
                "type",
                "veth",
                "peer",
                "name",
                "ethwe",
                "netns",
                "c1",
            ],
        );
        let mut wanted = attach(container, &["10.32.0.5/12", "10.48.0.5/24"]);
        wanted.master = Some(bridge.index);
        let plan = wanted.plan(&links).await.unwrap();
        assert_eq!(plan.steps().len(), 9);
        assert!(!plan.steps().contains(&Step::CreatePair));
        fails_cleanly_at_every_step(&links, &plan).await;
    });
}

async fn fails_cleanly_at_every_step(links: &Links, plan: &Plan) {
    let before = snapshot(&["c1"]);
    for failing in 0..plan.steps().len() {
        let result = plan
            .apply_unless(links, |step| (step == failing).then(|| kernel(Errno::ENOMEM)))
            .await;
        let AttachError::Step { step, left, .. } = result.unwrap_err() else {
            panic!("another error than that of a step");
        };
        assert_eq!(step, plan.steps()[failing]);
        assert!(left.is_empty(), "{left:?}");
        assert_same(&snapshot(&["c1"]), &before, plan.steps()[failing]);
    }
    plan.apply(links).await.unwrap();
}

#[test]
fn a_step_that_the_kernel_refuses_undoes_all() {
    on_a_host(|links| async move {
        let mut wanted = attach(named_container("c1"), &["10.32.0.5/12"]);
        wanted.master = Some(4711);
        let before = snapshot(&["c1"]);
        let error = wanted
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                AttachError::Step {
                    step: Step::SetMaster(4711),
                    ..
                }
            ),
            "{error:?}"
        );
        assert_same(&snapshot(&["c1"]), &before, "in the end");
    });
}

#[test]
fn a_container_that_dies_midway_leaves_nothing() {
    on_a_host(|links| async move {
        let before = snapshot(&[]);
        for dying in 0..=7 {
            let mut process = Process::start();
            let plan = attach(process.netns(), &["10.32.0.5/12"])
                .plan(&links)
                .await
                .unwrap();
            assert_eq!(plan.steps().len(), 6);
            let result = plan
                .apply_unless(&links, |step| {
                    if step == dying {
                        process.kill();
                    }
                    None
                })
                .await;
            if dying <= plan.steps().len() {
                let error = result.unwrap_err();
                assert!(
                    matches!(error, AttachError::Netns(NetnsError::NoProcess(_))),
                    "{error:?}"
                );
            } else {
                assert!(result.unwrap().undo(&links).await.is_empty());
            }
            assert_same(&snapshot(&[]), &before, format!("died before step {dying}"));
        }
    });
}

#[test]
fn a_namespace_that_is_gone_or_another_is_refused_before_anything_is_done() {
    on_a_host(|links| async move {
        let before = snapshot(&[]);
        let plan = attach(named_container("c1"), &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap();
        run("ip", &["netns", "del", "c1"]);
        let error = plan.apply(&links).await.unwrap_err();
        assert!(
            matches!(error, AttachError::Netns(NetnsError::Gone(_))),
            "{error:?}"
        );
        // Something else keeps the kernel from giving the new one the old one's inode number.
        named_container("c2");
        named_container("c1");
        let error = plan.apply(&links).await.unwrap_err();
        assert!(matches!(error, AttachError::OtherNetns(_)), "{error:?}");
        assert_same(&snapshot(&[]), &before, "in the end");
    });
}

#[test]
fn the_hosts_own_namespace_is_not_attached() {
    on_a_host(|links| async move {
        let own = NetnsRef::Path("/proc/thread-self/ns/net".into());
        let error = attach(own.clone(), &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap_err();
        assert!(
            matches!(error, AttachError::Netns(NetnsError::Host(_))),
            "{error:?}"
        );
        let error = detach(own, &[]).plan(&links).await.unwrap_err();
        assert!(
            matches!(error, DetachError::Netns(NetnsError::Host(_))),
            "{error:?}"
        );
    });
}

#[test]
fn an_interface_of_somebody_else_is_left_alone() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        run("ip", &["-n", "c1", "link", "add", "ethwe", "type", "bridge"]);
        let before = snapshot(&["c1"]);
        let wanted = attach(container.clone(), &["10.32.0.5/12"]);
        let error = wanted.clone().plan(&links).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the container has another interface ethwe (bridge)"
        );
        let error = detach(container, &[]).plan(&links).await.unwrap_err();
        assert!(matches!(error, DetachError::OtherInterface { .. }), "{error:?}");

        run("ip", &["-n", "c1", "link", "del", "ethwe"]);
        run("ip", &["link", "add", "vethwepltest", "type", "bridge"]);
        let error = wanted.plan(&links).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the host has another device vethwepltest (bridge)"
        );
        run("ip", &["link", "del", "vethwepltest"]);
        run("ip", &["-n", "c1", "link", "add", "ethwe", "type", "bridge"]);
        let now = snapshot(&["c1"]);
        assert_eq!(now[" links"], before[" links"]);
    });
}

#[test]
fn the_same_indices_in_two_containers_do_not_make_a_pair() {
    on_a_host(|links| async move {
        let (c1, c2) = (named_container("c1"), named_container("c2"));
        attach(c1, &["10.32.0.5/12"])
            .plan(&links)
            .await
            .unwrap()
            .apply(&links)
            .await
            .unwrap();
        // In c2, the same name, kind, index and peer index; but its peer is in c3.
        named_container("c3");
        let host = ip(&["link", "show", "vethwepltest"])[0]["ifindex"].to_string();
        let inside = ip(&["-n", "c1", "link", "show", "ethwe"])[0]["ifindex"].to_string();
        run(
            "ip",
            &[
                "-n", "c2", "link", "add", "ethwe", "index", &inside, "type", "veth", "peer", "name", "x",
                "netns", "c3", "index", &host,
            ],
        );
        let error = attach(c2, &["10.32.0.6/12"]).plan(&links).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the container has another interface ethwe (veth)"
        );
    });
}

#[test]
fn what_conflicts_with_the_interface_is_refused() {
    on_a_host(|links| async move {
        let container = named_container("c1");
        let first = attach(container.clone(), &["10.32.0.5/12"]);
        first.plan(&links).await.unwrap().apply(&links).await.unwrap();
        let before = snapshot(&["c1"]);
        let error = attach(container.clone(), &["10.32.1.5/24"])
            .plan(&links)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "10.32.1.5/24 overlaps with 10.32.0.5/12");
        let error = attach(container.clone(), &["10.32.0.5/24"])
            .plan(&links)
            .await
            .unwrap_err();
        assert!(matches!(error, AttachError::Overlap { .. }), "{error:?}");
        let mut other_mac = attach(container, &[]);
        other_mac.mac = Some("7a:c0:00:00:00:01".parse().unwrap());
        let error = other_mac.plan(&links).await.unwrap_err();
        assert!(matches!(error, AttachError::OtherMac { .. }), "{error:?}");
        assert_same(&snapshot(&["c1"]), &before, "in the end");
    });
}
