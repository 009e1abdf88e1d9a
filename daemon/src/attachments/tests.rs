//! Against the kernel, with a bridge for a datapath; `ip` says what became of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use api::{AddressSpecs, ContainerSpec, Endpoint, EndpointRequest, JoinRequest};
use gossip::Topology;
use overlay::{FastdpHere, MacTable};
use serde_json::Value;
use tokio::sync::mpsc;

use super::*;
use crate::control::Input;
use crate::control::world::{Setup, World};
use crate::datapath::{self, Plan};
use crate::routes::TopologyRoutes;
use crate::testing::{on_a_host, run};

const STATE: &str = "/run/state";

#[test]
fn several_addresses_come_and_go_one_by_one_and_the_interface_with_the_last() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        let attached = host.attach("one", &["10.1.0.1/24", "10.2.0.1/16"]).await.unwrap();
        assert_eq!(host.addresses("one"), ["10.1.0.1/24", "10.2.0.1/16"]);
        assert_eq!(texts(&attached.addresses), ["10.1.0.1/24", "10.2.0.1/16"]);

        let attached = host.attach("one", &["fd00::1/64"]).await.unwrap();
        let all = ["10.1.0.1/24", "10.2.0.1/16", "fd00::1/64"];
        assert_eq!(
            texts(&attached.addresses),
            all,
            "the answer has those of before too"
        );
        assert_eq!(host.addresses("one"), all);

        let detached = host.detach("one", &["10.1.0.1/24"]).await.unwrap();
        assert_eq!(
            (texts(&detached.addresses), detached.interface_removed),
            (vec!["10.1.0.1/24".to_owned()], false)
        );
        assert_eq!(host.addresses("one"), ["10.2.0.1/16", "fd00::1/64"]);
        let detached = host.detach("one", &[]).await.unwrap();
        assert!(detached.interface_removed);
        assert!(!host.is_attached("one"));
        assert_eq!(host.listed(), [""; 0]);
    });
}

#[test]
fn attaching_again_changes_nothing() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        let first = host.attach("one", &["10.1.0.1/24"]).await.unwrap();
        let before = run("ip", &["-netns", "one", "-json", "address"]);
        let second = host.attach("one", &["10.1.0.1/24"]).await.unwrap();
        assert_eq!(first, second);
        assert_eq!(run("ip", &["-netns", "one", "-json", "address"]), before);
        assert_eq!(host.listed(), ["one 10.1.0.1/24"]);
    });
}

#[test]
fn an_address_of_another_container_is_refused_by_its_name() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        host.container("two");
        host.attach("one", &["10.1.0.1/24", "10.1.0.2/24"]).await.unwrap();
        // With whatever subnet, and if it is one of several.
        for asked in [
            &["10.1.0.2/24"][..],
            &["10.1.0.2/16"],
            &["10.1.0.9/24", "10.1.0.2/24"],
        ] {
            let error = host.attach("two", asked).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Conflict);
            assert_eq!(error.message, "10.1.0.2 belongs to container one");
            assert!(!host.is_attached("two"), "{asked:?}");
        }
        host.attach("two", &["10.1.0.3/24"]).await.unwrap();
        host.detach("one", &["10.1.0.2/24"]).await.unwrap();
        host.attach("two", &["10.1.0.2/24"]).await.unwrap();
        let listed = host.listed();
        assert_eq!(listed, ["one 10.1.0.1/24", "two 10.1.0.3/24 10.1.0.2/24"]);
    });
}

#[test]
fn what_cannot_be_attached_entirely_is_not_attached_at_all() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        host.container("two");
        host.attach("two", &["10.1.0.1/24"]).await.unwrap();
        let error = host
            .attach("two", &["10.5.0.1/24", "10.1.0.2/16"])
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert_eq!(error.message, "10.1.0.2/16 overlaps with 10.1.0.1/24");
        assert_eq!(host.addresses("two"), ["10.1.0.1/24"]);

        run("ip", &["link", "delete", "weave"]);
        let error = host.attach("one", &["10.1.0.7/24"]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(!error.message.contains('\n'), "{error:?}");
        assert!(!host.is_attached("one"), "the bridge is gone: {error:?}");
        assert_eq!(host.listed(), ["two 10.1.0.1/24"]);
    });
}

#[test]
fn what_cannot_be_remembered_is_taken_back() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        host.attach("one", &["10.1.0.1/24"]).await.unwrap();
        host.container("two");
        let full = Path::new("/run/full");
        let _no_space = fs::write(full, vec![1; 8 << 20]);
        let error = host.attach("two", &["10.1.0.2/24"]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(
            error.message.contains("No space left on device") && !error.message.contains('\n'),
            "{error:?}"
        );
        assert!(!host.is_attached("two"));
        let error = host.attach("one", &["10.1.0.9/24"]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert_eq!(host.addresses("one"), ["10.1.0.1/24"], "what it had before stays");
        assert_eq!(host.listed(), ["one 10.1.0.1/24"]);

        fs::remove_file(full).unwrap();
        host.attach("two", &["10.1.0.2/24"]).await.unwrap();
        assert_eq!(host.listed(), ["one 10.1.0.1/24", "two 10.1.0.2/24"]);
    });
}

#[test]
fn a_detach_that_is_not_on_disk_says_what_was_done() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        for container in ["one", "two"] {
            host.container(container);
        }
        host.attach("one", &["10.1.0.1/24", "10.2.0.1/24"]).await.unwrap();
        host.attach("two", &["10.1.0.2/24"]).await.unwrap();
        let full = Path::new("/run/full");
        let _no_space = fs::write(full, vec![1; 8 << 20]);
        let error = host.detach("one", &["10.2.0.1/24"]).await.unwrap_err();
        let expected = "container one was detached from 10.2.0.1/24, but that is not on disk, and these addresses \
                        stay taken if weaved is restarted before it is: the state file /run/state/weaved.redb \
                        cannot be read or written (free space on its file system, weaved goes on by itself): ";
        assert!(error.message.starts_with(expected), "{}", error.message);
        assert_eq!(host.addresses("one"), ["10.1.0.1/24"]);
        host.detach("two", &[]).await.unwrap_err();
        assert!(!host.is_attached("two"));
        assert_eq!(host.listed(), ["one 10.1.0.1/24"], "as it is");
        fs::remove_file(full).unwrap();
        host.store.written().wait().await.unwrap();
        let kept = host.store.attachments::<Record>().unwrap();
        assert_eq!(kept.len(), 1);
    });
}

#[test]
fn what_is_not_there_cannot_be_detached() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        let error = host.detach("one", &[]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(error.message, "container one is not attached");
        host.attach("one", &["10.1.0.1/24"]).await.unwrap();
        let error = host.detach("one", &["10.1.0.9/24"]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(error.message, "container one does not have 10.1.0.9/24");
        assert_eq!(host.addresses("one"), ["10.1.0.1/24"]);
    });
}

#[test]
fn a_restart_knows_the_containers_that_are_still_there() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        host.container("two");
        host.attach("one", &["10.1.0.1/24"]).await.unwrap();
        host.attach("two", &["10.1.0.2/24"]).await.unwrap();
        let links = host.close();
        run("ip", &["-netns", "two", "link", "delete", "ethwe"]);
        let host = Host::open(links).await;
        assert_eq!(host.listed(), ["one 10.1.0.1/24"]);
        host.attach("two", &["10.1.0.2/24"]).await.unwrap();
    });
}

#[test]
fn a_lost_state_does_not_lose_the_containers_that_run_on() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        host.container("two");
        host.attach("one", &["10.1.0.1/24", "fd00::1/64"]).await.unwrap();
        host.attach("two", &["10.1.0.2/24"]).await.unwrap();
        let links = host.close();
        fs::remove_dir_all(STATE).unwrap();

        let host = Host::open(links).await;
        assert_eq!(host.listed(), ["one 10.1.0.1/24 fd00::1/64", "two 10.1.0.2/24"]);
        let error = host.attach("two", &["10.1.0.1/24"]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict);
        host.detach("one", &[]).await.unwrap();
        assert!(!host.is_attached("one"));
    });
}

#[test]
fn a_lost_state_does_not_lose_what_a_runtime_attached_either() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        let made = host.create("web", &["10.1.0.1/24"]).await.unwrap();
        host.move_in(&made, "one", "ethwe0");
        host.join("web", "one").await.unwrap();
        let mut process = Command::new("ip")
            .args(["netns", "exec", "one", "sleep", "1000"])
            .spawn()
            .unwrap();
        let links = host.close();
        fs::remove_dir_all(STATE).unwrap();

        let deadline = Instant::now() + Duration::from_secs(10);
        while run("ip", &["netns", "pids", "one"]).trim().is_empty() {
            assert!(Instant::now() < deadline, "no process in the namespace");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        let host = Host::open(links).await;
        let listed = host.listed();
        assert!(
            listed.len() == 1 && listed[0].ends_with(" 10.1.0.1/24"),
            "{listed:?}"
        );
        let error = host.attach("one", &["10.1.0.1/24"]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict, "it has that");
        host.leave("web").await;
        assert!(!host.is_attached("one"));
        process.kill().unwrap();
        process.wait().unwrap();
    });
}

#[test]
fn late_word_of_a_device_is_not_about_the_next_one_of_its_name() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        host.attach("one", &["10.1.0.1/24"]).await.unwrap();
        let device = link::host_end(&"one".parse().unwrap(), &container_if());
        host.detach("one", &[]).await.unwrap();
        host.attach("one", &["10.1.0.2/24"]).await.unwrap();
        host.attachments.device_removed(&device).await;
        assert_eq!(host.listed(), ["one 10.1.0.2/24"]);
    });
}

#[test]
fn a_container_that_ends_is_forgotten() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        host.attach("one", &["10.1.0.1/24"]).await.unwrap();
        let device = link::host_end(&"one".parse().unwrap(), &"ethwe".parse().unwrap());
        host.attachments
            .device_removed(&"vwnobody".parse().unwrap())
            .await;
        assert_eq!(host.listed().len(), 1);
        run("ip", &["link", "delete", device.as_str()]);
        host.attachments.device_removed(&device).await;
        assert_eq!(host.listed(), [""; 0]);
        let kept = host.store.attachments::<Record>().unwrap();
        assert_eq!(kept, [], "nor is it remembered");
    });
}

#[test]
fn an_interface_that_a_runtime_moved_is_completed_in_its_container() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        let made = host.create("web", &["10.1.0.1/24", "10.2.0.1/16"]).await.unwrap();
        let again = host.create("web", &["10.1.0.1/24", "10.2.0.1/16"]).await.unwrap();
        assert_eq!(made, again, "it waits still");
        assert_eq!(host.listed(), ["web 10.1.0.1/24 10.2.0.1/16"]);

        host.move_in(&made, "one", "ethwe0");
        let joined = host.join("web", "one").await.unwrap();
        assert_eq!(joined.interface.as_str(), "ethwe0");
        assert_eq!(
            (joined.mac, texts(&joined.addresses)),
            (made.mac, texts(&made.addresses))
        );
        assert_eq!(
            host.addresses("one"),
            ["10.1.0.1/24", "10.2.0.1/16"],
            "by its other name"
        );
        let routes = run("ip", &["-netns", "one", "route", "show", "224.0.0.0/4"]);
        assert_eq!(routes, "", "the runtime sets it");

        let request = AttachRequest {
            container: ContainerSpec::Path("/run/netns/one".to_owned()),
            addresses: asked(&["10.3.0.1/24"]),
            multicast_route: false,
            dns: false,
            name: None,
            id: Some("web".parse().unwrap()),
        };
        let attached = host.attachments.attach(request).await.unwrap();
        assert_eq!(attached.interface.as_str(), "ethwe0", "no second one");

        let links = host.close();
        let host = Host::open(links).await;
        host.leave("web").await;
        assert!(!host.is_attached("one"));
        assert_eq!(host.listed(), [""; 0]);
        host.leave("web").await;
    });
}

#[test]
fn a_container_that_starts_anew_gets_a_new_interface() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        host.container("two");
        let first = host.create("web", &["10.1.0.1/24"]).await.unwrap();
        host.move_in(&first, "one", "ethwe0");
        host.join("web", "one").await.unwrap();
        // Its runtime was killed, and told nobody that the container ended.
        let second = host.create("web", &["10.1.0.1/24"]).await.unwrap();
        assert_ne!(first.mac, second.mac);
        host.move_in(&second, "two", "ethwe0");
        host.join("web", "two").await.unwrap();
        assert_eq!(host.addresses("two"), ["10.1.0.1/24"]);
        let before = run("ip", &["-netns", "one", "-json", "link"]);
        assert!(!before.contains("ethwe0"), "{before}");
    });
}

#[test]
fn an_interface_that_nobody_moved_is_not_joined() {
    on_a_host(|links| async move {
        let host = Host::open(links).await;
        host.container("one");
        let error = host.join("web", "one").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "nobody made one: {error:?}");
        host.create("web", &["10.1.0.1/24"]).await.unwrap();
        let error = host.join("web", "one").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error:?}");
        let error = host.create("db", &["10.1.0.1/24"]).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict, "{error:?}");
    });
}

/// A host with a bridge
struct Host {
    links: Links,
    store: Arc<Store>,
    attachments: Attachments,
    /// The datapath keeps sending to it
    _inputs: mpsc::Receiver<Input>,
}

impl Host {
    async fn open(links: Links) -> Self {
        let (sender, inputs) = mpsc::channel(16);
        let plan = Plan {
            name: "weave".parse().unwrap(),
            tap: "weave-sleeve".parse().unwrap(),
            tap_queues: 1,
            peer: topology().name(),
            vxlan_port: 6784,
            clear_neighbours: true,
            csum: true,
            overlay_mtu: 1400,
            macs: Arc::new(MacTable::new(16, 1)),
            drops: Arc::default(),
        };
        let routes = TopologyRoutes::new(topology(), Arc::default());
        let opened = datapath::open(plan, Err(FastdpHere::NoOpenVSwitch), &links, routes, sender);
        let datapath = opened.await.unwrap().datapath;
        let store = Arc::new(Store::open(Path::new(STATE)).unwrap());
        // Nobody hands out addresses or names.
        let network = Network::new(mpsc::channel(1).0, None);
        let attachments = Attachments::open(
            links.clone(),
            datapath,
            Arc::clone(&store),
            network,
            1400,
            Duration::ZERO,
        );
        Self {
            attachments: attachments.await.unwrap(),
            links,
            store,
            _inputs: inputs,
        }
    }

    /// The daemon ends; the kernel's part stays
    fn close(self) -> Links {
        self.links
    }

    fn container(&self, name: &str) {
        run("ip", &["netns", "add", name]);
    }

    async fn attach(&self, container: &str, addresses: &[&str]) -> Result<Attached, ApiError> {
        let request = AttachRequest {
            container: ContainerSpec::Name(container.to_owned()),
            addresses: asked(addresses),
            multicast_route: false,
            dns: false,
            name: None,
            id: None,
        };
        self.attachments.attach(request).await
    }

    async fn detach(&self, container: &str, addresses: &[&str]) -> Result<Detached, ApiError> {
        let request = DetachRequest {
            container: ContainerSpec::Name(container.to_owned()),
            addresses: asked(addresses),
        };
        self.attachments.detach(request).await
    }

    async fn create(&self, container: &str, addresses: &[&str]) -> Result<Endpoint, ApiError> {
        let request = EndpointRequest {
            container: container.parse().unwrap(),
            addresses: asked(addresses),
            name: None,
        };
        self.attachments.create_endpoint(request).await
    }

    /// What a runtime does with the interface
    fn move_in(&self, made: &Endpoint, container: &str, name: &str) {
        let device = made.interface.as_str();
        run("ip", &["link", "set", device, "netns", container, "name", name]);
        let address = made.addresses[0].to_string();
        run(
            "ip",
            &["-netns", container, "address", "add", &address, "dev", name],
        );
        run("ip", &["-netns", container, "link", "set", name, "up"]);
    }

    async fn join(&self, container: &str, netns: &str) -> Result<Attached, ApiError> {
        let request = JoinRequest {
            container: container.parse().unwrap(),
            netns: format!("/run/netns/{netns}"),
            multicast_route: false,
        };
        self.attachments.join_endpoint(request).await
    }

    async fn leave(&self, container: &str) {
        let container = container.parse().unwrap();
        self.attachments.delete_endpoint(&container).await.unwrap();
    }

    /// The addresses of the interface inside, as `ip` has them
    fn addresses(&self, container: &str) -> Vec<String> {
        let found = run(
            "ip",
            &["-netns", container, "-json", "address", "show", "dev", "ethwe"],
        );
        let found: Value = serde_json::from_str(&found).unwrap();
        let addresses = found[0]["addr_info"].as_array().unwrap();
        addresses
            .iter()
            .filter(|address| address["scope"] != "link")
            .map(|address| {
                let local = address["local"].as_str().unwrap();
                format!("{local}/{}", address["prefixlen"])
            })
            .collect()
    }

    /// Whether there is either end of a container's pair
    fn is_attached(&self, container: &str) -> bool {
        let inside = run("ip", &["-netns", container, "-json", "link"]);
        let device = link::host_end(&container.parse().unwrap(), &"ethwe".parse().unwrap());
        let outside = run("ip", &["-json", "link"]);
        inside.contains("ethwe") || outside.contains(device.as_str())
    }

    /// What `weavectl ps` lists
    fn listed(&self) -> Vec<String> {
        let listed = self.attachments.list().into_iter();
        listed
            .map(|attachment| {
                format!(
                    "{} {}",
                    attachment.container,
                    texts(&attachment.addresses).join(" ")
                )
            })
            .collect()
    }
}

fn topology() -> Arc<Topology> {
    Arc::clone(&World::new([Setup::USUAL]).hosts[0].plane().topology)
}

fn texts(addresses: &[IpNetwork]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn asked(addresses: &[&str]) -> AddressSpecs {
    serde_json::from_value(serde_json::json!(addresses)).unwrap()
}
