//! Stages with headlines, and a summary of how long each took.

use std::time::Instant;

use anyhow::{Context as _, Result};

/// The stages of a task, in the order in which they ran
#[derive(Debug, Default)]
pub(crate) struct Stages {
    done: Vec<(&'static str, f32)>,
}

impl Stages {
    /// Runs one more, under its headline; an error gets the stage's name
    pub(crate) fn run<T>(&mut self, name: &'static str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("\n=== {name}");
        let begun = Instant::now();
        let done = act().with_context(|| format!("stage \"{name}\" failed"))?;
        self.done.push((name, begun.elapsed().as_secs_f32()));
        Ok(done)
    }

    /// Prints how long each took
    pub(crate) fn summary(&self) {
        println!("\n=== summary");
        for (name, seconds) in &self.done {
            println!("{seconds:>7.1} s  {name}");
        }
        let total: f32 = self.done.iter().map(|(_name, seconds)| seconds).sum();
        println!("{total:>7.1} s  in all");
    }
}
