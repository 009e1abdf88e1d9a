//! Interfaces whose runtime knows nothing of them any more.

use api::{ApiError, ErrorKind};
use link::{NetnsId, NetnsRef};
use model::ContainerId;

use super::Attachments;
use super::unclaimed::processes;

impl Attachments {
    /// Removes one, and frees what is kept for its container to come back; refused while a process is in that
    pub(crate) async fn abandon(&self, id: &ContainerId) -> Result<(), ApiError> {
        let netns = {
            let records = self.0.published.load();
            records.get(id).and_then(|record| record.netns.clone())
        };
        if let Some(path) = netns
            && let Ok(netns) = NetnsRef::Path(path).open()
            && let Some(pid) = process_in(netns.id())
        {
            let text = format!("{id} is in use: process {pid} is in its namespace");
            return Err(ApiError::new(ErrorKind::Conflict, text));
        }
        self.delete_endpoint(id).await?;
        self.forget(id).await;
        Ok(())
    }
}

/// A process that is in this namespace, if there is one
fn process_in(netns: NetnsId) -> Option<u32> {
    processes().find(|pid| {
        let theirs = NetnsRef::Pid(*pid).open();
        theirs.is_ok_and(|theirs| theirs.id() == netns)
    })
}
