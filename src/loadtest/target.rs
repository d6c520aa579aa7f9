//! Where the requests of a load go and what they are: the profile's, as the generators are told.

use crate::domain::profile::OfferedRequest;
use crate::error::{Error, Result};
use crate::stack::{Credentials, Stack};

/// The service as the generators reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadTarget {
    /// Scheme, host and port.
    pub base_url: String,
    /// What stands before every path; empty or with a slash at its beginning.
    base_path: String,
}

impl LoadTarget {
    /// Takes an address apart.
    #[must_use]
    pub fn of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_end_matches('/');
        let base_path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Self { base_url: format!("{scheme}://{authority}"), base_path }
    }

    /// The requests of the profile there.
    ///
    /// # Errors
    /// When the profile has none, or a variable that they need is not set.
    pub fn requests(&self, stack: &Stack, credentials: Option<&Credentials>) -> Result<Vec<OfferedRequest>> {
        let profile = stack.profile();
        let requests =
            profile.offered(&self.base_path, credentials, &crate::process_env::var).map_err(Error::usage)?;
        if requests.is_empty() {
            return Err(Error::usage(format!("the profile {} names no request", profile.name))
                .hint("add one: [[request]] with a path; docs/ANY-STACK.md shows how"));
        }
        Ok(requests)
    }

    /// A request that reads one path of the service.
    pub(super) fn reading(&self, path: &str, credentials: Option<&Credentials>) -> OfferedRequest {
        OfferedRequest::reading(&format!("{}{path}", self.base_path), credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_base_and_a_path() {
        let of = |url: &str| {
            let target = LoadTarget::of(url);
            (target.base_url, target.base_path)
        };
        assert_eq!(of("http://h:1"), ("http://h:1".into(), String::new()));
        assert_eq!(of("https://h/"), ("https://h".into(), String::new()));
        assert_eq!(of("http://[::1]:1/a/b/"), ("http://[::1]:1".into(), "/a/b".into()));
    }
}
