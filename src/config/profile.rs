//! Finds the profile of the stack and reads it: the one that is named, the one in the configuration file, else
//! the companion's.

use super::Config;
use crate::domain::profile::{CompanionLoad, Profile, ProfileError};
use crate::error::{Context, Error, Result};
use std::path::{Path, PathBuf};

/// The variable that names a profile.
const VARIABLE: &str = "NSYS_PROFILE";

/// A profile that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) profile: Profile,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Whether it is a section of the configuration file, whose other sections go with it.
    pub(super) is_section: bool,
}

/// The file that the command line or the environment names, from the current directory.
pub(super) fn named(here: &Path, flag: Option<&Path>, environment: &[(String, String)]) -> Option<PathBuf> {
    let variable = || {
        let (_, value) = environment.iter().find(|(name, value)| name == VARIABLE && !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    flag.map(Path::to_owned).or_else(variable).map(|path| here.join(path))
}

/// The profile: `named`, or the one that `stack.profile` names, or the section of the configuration file.
///
/// # Errors
/// When a file that is named cannot be read, or is no profile.
pub(super) fn find(
    named: Option<&Path>,
    key: &str,
    base_dir: &Path,
    config: Option<&Path>,
) -> Result<Option<Found>> {
    let file = named.map(Path::to_owned).or_else(|| (!key.is_empty()).then(|| base_dir.join(key)));
    if let Some(path) = file {
        if !path.is_file() {
            return Err(Error::usage(format!("there is no profile {}", path.display()))
                .hint("name one with --profile FILE; docs/ANY-STACK.md shows how one is written"));
        }
        let profile = Profile::parse(&read(&path)?, &path.display().to_string()).map_err(usage)?;
        return Ok(Some(Found { profile, path, is_section: false }));
    }
    let Some(path) = config else { return Ok(None) };
    let found = Profile::parse_section(&read(path)?, &path.display().to_string()).map_err(usage)?;
    Ok(found.map(|profile| Found { profile, path: path.to_owned(), is_section: true }))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn usage(error: ProfileError) -> Error {
    let usage = Error::usage(error.message);
    match error.hint {
        Some(hint) => usage.hint(hint),
        None => usage,
    }
}

/// What the configuration says of the companion's load.
pub(super) fn companion(config: &Config) -> Profile {
    let load = &config.loadtest;
    Profile::companion(&CompanionLoad {
        create: load.mix_create,
        get: load.mix_get,
        list: load.mix_list,
        correlation: load.mix_correlation,
        users: load.seed_users,
        notifications: load.seed_notifications,
    })
}
