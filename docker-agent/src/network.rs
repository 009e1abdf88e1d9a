//! The Docker network that containers are connected to.

use hyper::Method;
use serde::Deserialize;

use crate::dockerd::{DockerError, Dockerd, encoded};

/// What Docker calls the driver: the name of its socket
pub(crate) const DRIVER: &str = "weave";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    #[serde(default)]
    driver: String,
}

/// Makes the network, unless there is one
pub(crate) async fn ensure(docker: &Dockerd, name: &str) -> Result<(), DockerError> {
    let path = format!("/networks/{}", encoded(name));
    match docker.get::<Network>(&path).await {
        Ok(network) if network.driver == DRIVER => return Ok(()),
        Ok(network) => {
            log::warn!(
                "Docker's network {name} is of the driver {}: containers do not get on the network by it; remove it with `docker network rm {name}`",
                network.driver
            );
            return Ok(());
        }
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    // Its addresses are given by the driver, so that there is one who gives them.
    let body = serde_json::json!({
        "Name": name,
        "CheckDuplicate": true,
        "Driver": DRIVER,
        "IPAM": { "Driver": "null" },
    });
    let made = docker
        .ask(
            Method::POST,
            "/networks/create",
            Some(body.to_string().into_bytes()),
        )
        .await;
    match made {
        Ok(_id) => {
            log::info!("Docker's network {name} is made");
            Ok(())
        }
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}
