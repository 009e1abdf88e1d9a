//! By which of its interfaces a container sends multicast.
//!
//! Docker refuses a second route for it: the first interface has it, and when that leaves, the next.

use std::collections::BTreeMap;

/// The interfaces by which multicast may go, in the order in which they came, by the file of their
/// container's namespace
#[derive(Debug, Default)]
pub(super) struct Ways(BTreeMap<String, Vec<String>>);

impl Ways {
    /// An interface comes; whether it is the one by which multicast goes
    pub(super) fn come(&mut self, netns: &str, endpoint: &str) -> bool {
        let all = self.0.entry(netns.to_owned()).or_default();
        if !all.iter().any(|known| known == endpoint) {
            all.push(endpoint.to_owned());
        }
        all.first().is_some_and(|first| first == endpoint)
    }

    /// An interface leaves; the namespace it was in, and by which multicast goes there from then on
    pub(super) fn leave(&mut self, endpoint: &str) -> Option<(String, String)> {
        let (netns, all) = self
            .0
            .iter_mut()
            .find(|(_netns, all)| all.iter().any(|known| known == endpoint))?;
        all.retain(|known| known != endpoint);
        let next = all.first().map(|next| (netns.clone(), next.clone()));
        self.0.retain(|_netns, all| !all.is_empty());
        next
    }

    /// Forgets all other interfaces
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|_netns, all| {
            all.retain(|endpoint| is_there(endpoint));
            !all.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_by_the_first_and_after_that_by_the_next() {
        let mut ways = Ways::default();
        let came = ["e1", "e2", "e1", "e3"].map(|endpoint| ways.come("/n", endpoint));
        assert_eq!(came, [true, false, true, false]);
        assert!(ways.come("/other", "e4"));
        let to = |next: &str| Some(("/n".to_owned(), next.to_owned()));
        assert_eq!(ways.leave("e1"), to("e2"));
        assert_eq!(ways.leave("e1"), None, "once");
        assert!(!ways.come("/n", "e1"), "it comes again");
        // What was before this program ran may be otherwise: whoever leaves, the first is told.
        assert_eq!(ways.leave("e3"), to("e2"));
        assert_eq!(ways.leave("e2"), to("e1"));
        assert_eq!(ways.leave("e1"), None);
        assert_eq!(ways.leave("e4"), None);
        assert!(ways.0.is_empty());
    }

    #[test]
    fn what_is_not_there_any_more_has_no_say() {
        let mut ways = Ways::default();
        assert!(ways.come("/n", "e1"));
        assert!(!ways.come("/n", "e2"));
        ways.keep(|endpoint| endpoint != "e1");
        assert!(ways.come("/n", "e2"));
        ways.keep(|_| false);
        assert!(ways.0.is_empty());
    }
}
