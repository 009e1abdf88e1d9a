//! The `Host` header, which on a unix socket means nothing.

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderValue};

/// What it says instead of nonsense
const ANY: HeaderValue = HeaderValue::from_static("docker");

/// Replaces what Docker would refuse: clients that name the socket there, as `/var/run/docker.sock`
pub(super) fn mend(headers: &mut HeaderMap) {
    if let Some(host) = headers.get_mut(HOST)
        && !host.as_bytes().iter().all(|byte| is_of_a_host(*byte))
    {
        *host = ANY;
    }
}

fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_would_refuse_is_replaced() {
        for (host, expected) in [
            ("docker", "docker"),
            ("", ""),
            ("[::1]:2375", "[::1]:2375"),
            ("my.host:80", "my.host:80"),
            ("/var/run/docker.sock", "docker"),
            ("a b", "docker"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            mend(&mut headers);
            assert_eq!(headers[HOST], expected);
        }
    }
}
