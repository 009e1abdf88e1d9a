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

/// Whether there is something before and behind a dot
pub(crate) fn has_domain(whole: &str) -> bool {
    whole.trim_end_matches('.').contains('.')
}

/// Whether the end of a name is a domain, whatever their case
pub(crate) fn is_in(whole: &str, domain: &str) -> bool {
    whole
        .len()
        .checked_sub(domain.len() + 1)
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
