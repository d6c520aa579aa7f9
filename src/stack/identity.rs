//! Which stack this is: the same answer as long as its data are the same, whatever it is called from.

use super::{Runtime, Stack};
use crate::domain::run::StackIdentity;
use crate::secret::place_of;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

impl Stack {
    /// Its name and a digest of what makes it this stack and no other: on this machine its state
    /// directory, elsewhere the addresses of what it keeps its data in. Ports, credentials and the
    /// number of replicas may change.
    #[must_use]
    pub fn identity(&self) -> StackIdentity {
        let config = &self.loaded.config;
        let mut parts = match self.runtime {
            Runtime::Local | Runtime::Docker => {
                vec![machine(), whole(&self.layout.path("")).to_string_lossy().into_owned()]
            }
            Runtime::Kubernetes | Runtime::External => vec![
                place_of(&config.db.url),
                self.endpoints.brokers().to_string(),
                place_of(&config.cache.url),
                if self.runtime == Runtime::Kubernetes {
                    config.kubernetes.namespace.clone()
                } else {
                    String::new()
                },
            ],
        };
        if !self.profile().is_companion() {
            // It may have no part whose address nsys knows.
            parts.push(place_of(&self.endpoints.api_url()));
        }
        let text = format!("{}\n{}", self.runtime.as_str(), parts.join("\n"));
        let id = Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        StackIdentity { name: config.stack.name.clone(), id }
    }
}

/// A path without links, as far as it is there.
fn whole(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    there.map_or_else(
        || path.to_owned(),
        // Without a trailing slash, which joining nothing would add.
        |(above, whole)| {
            path.strip_prefix(above).map_or(whole.clone(), |rest| whole.join(rest)).components().collect()
        },
    )
}

/// This machine: two of them may have the same directories.
fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    Some(read("/etc/machine-id"))
        .filter(|id| !id.is_empty())
        .unwrap_or_else(|| read("/proc/sys/kernel/hostname"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Loaded;

    fn stack(dir: &Path, variables: &[(&str, &str)]) -> Stack {
        let config = dir.join("config.toml");
        std::fs::write(&config, "").unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Stack::new(Loaded::load(Some(&config), Some(&dir.join("state")), variables).unwrap())
    }

    #[test]
    fn a_stack_stays_itself_and_is_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let local = [("NSYS_STACK__RUNTIME", "local")];
        let own = stack(dir.path(), &local).identity();
        std::fs::create_dir_all(dir.path().join("state/nsys")).unwrap();
        let moved = [local[0], ("NSYS_STACK__PORT_OFFSET", "400"), ("NSYS_DB__POOL_SIZE", "7")];
        assert_eq!(stack(dir.path(), &moved).identity(), own, "ports are no identity");
        let named = [local[0], ("NSYS_STACK__NAME", "other")];
        assert_ne!(stack(dir.path(), &named).identity().id, own.id);
        let elsewhere = tempfile::tempdir().unwrap();
        assert_ne!(stack(elsewhere.path(), &local).identity().id, own.id);
    }

    #[test]
    fn of_one_that_runs_elsewhere_credentials_are_no_identity() {
        let dir = tempfile::tempdir().unwrap();
        let with = |db: &str| {
            stack(
                dir.path(),
                &[
                    ("NSYS_STACK__RUNTIME", "external"),
                    ("NSYS_EXTERNAL__API_URL", "http://api"),
                    ("NSYS_KAFKA__BROKERS", "broker:9092"),
                    ("NSYS_CACHE__URL", "redis://:pw@cache/0"),
                    ("NSYS_DB__URL", db),
                ],
            )
            .identity()
        };
        assert_eq!(with("postgres://a:b@db/n"), with("postgres://c:d@db/n"));
        assert_ne!(with("postgres://a:b@db/n").id, with("postgres://a:b@db/other").id);
    }
}
