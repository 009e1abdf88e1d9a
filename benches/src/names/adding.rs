//! Gives a weaved its names, each of one address outside the network.

use std::path::Path;

use anyhow::{Context as _, Result};
use api::{Client, NameRequest, routes};

use super::question::{NAMES, address, host_name};

/// How many ask weaved for names at once
const ADDERS: usize = 4;

/// Gives the weaved behind this socket all names
pub(super) fn add(socket: &Path) -> Result<()> {
    std::thread::scope(|scope| {
        let adders: Vec<_> = (0..ADDERS)
            .map(|first| scope.spawn(move || add_some(socket, (first..NAMES).step_by(ADDERS))))
            .collect();
        for adder in adders {
            adder
                .join()
                .map_err(|_panic| anyhow::anyhow!("a thread that adds names panicked"))??;
        }
        Ok(())
    })
}

fn add_some(socket: &Path, indices: impl Iterator<Item = usize>) -> Result<()> {
    let client = Client::new(socket);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for index in indices {
            let request = NameRequest {
                container: None,
                addresses: vec![address(index)],
                name: Some(host_name(index)),
            };
            client
                .send(&routes::ADD_NAMES, &request)
                .await
                .with_context(|| format!("cannot add name {index}"))?;
        }
        Ok(())
    })
}
