//! The name of a container in DNS.

/// The longest label of a name, in bytes
pub const MAX_LABEL_BYTES: usize = 63;

/// The longest name in bytes, without its last dot
pub const MAX_NAME_BYTES: usize = 253;

/// What a container is called by Docker, of its inspection
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Called<'a> {
    /// `Name`; with or without the `/` that Docker puts before it
    pub name: &'a str,
    /// `Config.Hostname`
    pub hostname: &'a str,
    /// `Config.Domainname`
    pub domainname: &'a str,
}

/// The whole name in the domain, without its last dot: that of its host if that is in the domain, else
/// Docker's name for it; nothing if neither can be a name
pub fn in_domain(called: Called<'_>, domain: &str) -> Option<String> {
    let domain = domain.trim_end_matches('.');
    let whole = match (called.hostname, called.domainname) {
        (hostname, "") => hostname.to_owned(),
        (hostname, domainname) => format!("{hostname}.{domainname}"),
    };
    let whole = whole.trim_end_matches('.');
    if is_in(whole, domain) && is_name(whole) {
        return Some(whole.to_owned());
    }
    let completed = format!("{}.{domain}", called.name.trim_start_matches('/'));
    is_name(&completed).then_some(completed)
}

/// The whole name of an alias, without its last dot; nothing if it can be no name
pub fn alias_in_domain(alias: &str, domain: &str) -> Option<String> {
    let (alias, domain) = (alias.trim_end_matches('.'), domain.trim_end_matches('.'));
    let whole = match is_in(alias, domain) {
        true => alias.to_owned(),
        false => format!("{alias}.{domain}"),
    };
    is_name(&whole).then_some(whole)
}

/// Whether there is something before and behind a dot
pub(crate) fn has_domain(whole: &str) -> bool {
    whole.trim_end_matches('.').contains('.')
}

/// Whether the end of a name is a domain, whatever their case
pub(crate) fn is_in(whole: &str, domain: &str) -> bool {
    whole
        .len()
        .checked_sub(domain.len().saturating_add(1))
        .and_then(|at| whole.get(at..))
        .and_then(|end| end.strip_prefix('.'))
        .is_some_and(|end| end.eq_ignore_ascii_case(domain))
}

/// Whether a text is the name of a host
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES && text.split('.').all(is_label)
}

/// Whether a text can stand between two dots
fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_s_name_counts_in_the_domain_and_docker_s_elsewhere() {
        for ((name, hostname, domainname), whole) in [
            (("/c1", "5f3a", ""), "c1.weave.local"),
            (("c1", "web", ""), "c1.weave.local"),
            (("/c1", "web", "weave.local"), "web.weave.local"),
            (("/c1", "web", "Weave.Local."), "web.Weave.Local"),
            (("/c1", "web.weave.local", ""), "web.weave.local"),
            (("/c1", "web.weave.local.", ""), "web.weave.local"),
            (("/c1", "a", "b.weave.local"), "a.b.weave.local"),
            (("/c1", "web", "example.com"), "c1.weave.local"),
            (("/c1", "web", "notweave.local"), "c1.weave.local"),
            (("/c1", "", "weave.local"), "c1.weave.local"),
            (("/c1", "weave.local", ""), "c1.weave.local"),
            (("/c1", "w\u{e4}b", "weave.local"), "c1.weave.local"),
            (
                ("/c1", "\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}", ""),
                "c1.weave.local",
            ),
            (("/happy_turing", "", ""), "happy_turing.weave.local"),
            (("/a.b", "", ""), "a.b.weave.local"),
        ] {
            let called = Called {
                name,
                hostname,
                domainname,
            };
            for domain in ["weave.local", "weave.local."] {
                assert_eq!(in_domain(called, domain).as_deref(), Some(whole), "{called:?}");
            }
        }
    }

    #[test]
    fn an_alias_is_completed_by_the_domain() {
        for (alias, whole) in [
            ("web", Some("web.weave.local")),
            ("Web.weave.LOCAL.", Some("Web.weave.LOCAL")),
            ("db.example", Some("db.example.weave.local")),
            ("my_service", Some("my_service.weave.local")),
            ("", None),
            ("a b", None),
            (".weave.local", None),
        ] {
            for domain in ["weave.local", "weave.local."] {
                assert_eq!(alias_in_domain(alias, domain).as_deref(), whole, "{alias:?}");
            }
        }
    }

    #[test]
    fn what_dns_cannot_have_is_no_name() {
        let label = "x".repeat(MAX_LABEL_BYTES);
        let long = [label.as_str(); 4].join(".");
        for name in [
            "",
            "/",
            "a b",
            "a..b",
            ".a",
            "a.",
            "w\u{e4}b",
            "a/b",
            &format!("{label}x"),
            &long,
        ] {
            let called = Called {
                name,
                ..Called::default()
            };
            assert_eq!(in_domain(called, "weave.local"), None, "{name}");
        }
        for name in [
            label.as_str(),
            long.get(..MAX_NAME_BYTES - ".weave.local".len()).unwrap(),
        ] {
            let called = Called {
                name,
                ..Called::default()
            };
            assert_eq!(
                in_domain(called, "weave.local"),
                Some(format!("{name}.weave.local"))
            );
        }
    }
}
