//! Asking weaved, and waiting for the answer.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::{Client, ClientError, Route};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

/// The weaved behind a socket
pub(crate) struct Daemon {
    client: Client,
    runtime: Runtime,
}

impl Daemon {
    pub(crate) fn new(socket: &Path) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            client: Client::new(socket),
            runtime: runtime.context("cannot poll sockets")?,
        })
    }

    /// The same with another limit to how long a question may take
    pub(crate) fn patient(&self, timeout: Duration) -> Result<Self> {
        let mut daemon = Self::new(self.client.socket())?;
        daemon.client = daemon.client.with_timeout(timeout);
        Ok(daemon)
    }

    pub(crate) fn socket(&self) -> &Path {
        self.client.socket()
    }

    pub(crate) fn ask<Answer: DeserializeOwned>(
        &self,
        route: &Route<(), Answer>,
    ) -> Result<Answer, ClientError> {
        self.runtime.block_on(self.client.ask(route))
    }

    pub(crate) fn send<Question: Serialize, Answer: DeserializeOwned>(
        &self,
        route: &Route<Question, Answer>,
        question: &Question,
    ) -> Result<Answer, ClientError> {
        self.runtime.block_on(self.client.send(route, question))
    }
}
