//! How containers are called.

use std::path::{Path, PathBuf};

use api::{ApiError, ContainerSpec, ErrorKind};
use link::NetnsRef;
use model::ContainerId;

/// Where a container is, and the id that it is known by
pub(super) fn container(spec: &ContainerSpec) -> Result<(NetnsRef, ContainerId), ApiError> {
    let (reference, id) = match spec {
        ContainerSpec::Pid(pid) => (NetnsRef::Pid(*pid), pid.to_string()),
        ContainerSpec::Name(name) => (NetnsRef::Name(name.clone()), name.clone()),
        ContainerSpec::Path(path) => {
            let path = PathBuf::from(path);
            let id = match path
                .strip_prefix("/run/netns")
                .or_else(|_elsewhere| path.strip_prefix("/var/run/netns"))
            {
                Ok(name) => name.display().to_string(),
                Err(_elsewhere) => match process_of(&path) {
                    Some(pid) => pid,
                    None => path.display().to_string(),
                },
            };
            (NetnsRef::Path(path), id)
        }
    };
    let id = id
        .parse()
        .map_err(|error: model::ContainerIdError| ApiError::new(ErrorKind::BadInput, error.to_string()))?;
    Ok((reference, id))
}

/// The process in `/proc/PID/ns/net`
fn process_of(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let pid = text.strip_prefix("/proc/")?.strip_suffix("/ns/net")?;
    pid.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| pid.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_container_has_one_id_however_it_is_called() {
        let path = |path: &str| ContainerSpec::Path(path.to_owned());
        for (spec, expected) in [
            (ContainerSpec::Pid(17), "17"),
            (path("/proc/17/ns/net"), "17"),
            (ContainerSpec::Name("web".to_owned()), "web"),
            (path("/run/netns/web"), "web"),
            (path("/var/run/netns/web"), "web"),
            (path("/proc/self/ns/net"), "/proc/self/ns/net"),
            (path("/srv/ns/web"), "/srv/ns/web"),
        ] {
            let (_, id) = container(&spec).unwrap();
            assert_eq!(id.to_string(), expected, "{spec:?}");
        }
    }

    #[test]
    fn what_can_be_no_id_is_refused() {
        for spec in [
            ContainerSpec::Name(String::new()),
            ContainerSpec::Path("/srv/two\nlines".to_owned()),
        ] {
            assert_eq!(
                container(&spec).unwrap_err().kind,
                ErrorKind::BadInput,
                "{spec:?}"
            );
        }
    }
}
