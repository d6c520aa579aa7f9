//! The effective configuration: layers, the origin of every value, and the typed result.
//!
//! The embedded `config.toml` is the list of keys and their defaults; whatever is not in it is a mistake.

mod check;
mod former;
mod layers;
mod metrics;
pub mod overlay;
mod profile;
mod sections;
mod variables;

pub use layers::{Origin, Setting};
pub use metrics::Metrics;
pub use sections::{
    Config, DiagnoseSection, DockerSection, ExternalSection, KubernetesSection, LoadtestSection, RUNTIMES,
    StackSection, TuneSection,
};
pub(crate) use variables::variable;

use crate::domain::profile::Profile;
use crate::error::{Context, Error, Result};
use crate::process_env;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The defaults, as they are shipped.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The configuration together with where it was found and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed values.
    pub config: Config,
    /// Every key with its value and origin, in order of the keys.
    pub settings: BTreeMap<String, Setting>,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// Where nsys keeps its state.
    pub state_dir: PathBuf,
    /// Relative paths of the configuration start here.
    pub base_dir: PathBuf,
    /// The overlay that tuning writes for this stack, there or not.
    pub overlay: PathBuf,
    /// What nsys knows of the stack; the companion's when no other is named.
    pub profile: Arc<Profile>,
    /// The profile that `--profile` names.
    profile_flag: Option<PathBuf>,
    /// Every change is refused (`--read-only`).
    pub read_only: bool,
    /// What looks like configuration and is none: files in its place, variables that set nothing, each with
    /// the reason.
    pub skipped: Vec<String>,
}

impl Loaded {
    /// Finds and reads the configuration.
    ///
    /// # Errors
    /// When a file that was named is missing or not TOML, or a key or a value is wrong.
    pub fn load(
        file: Option<&Path>,
        state_dir: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self> {
        Self::with_profile(None, file, state_dir, environment)
    }

    /// The same, of the stack that a profile describes: that of this file, or of the one that the environment or
    /// the configuration names.
    ///
    /// # Errors
    /// As [`Loaded::load`], and when the profile is wrong.
    pub fn with_profile(
        flag: Option<&Path>,
        file: Option<&Path>,
        state_dir: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self> {
        let environment: Vec<_> = environment.collect();
        let here = std::env::current_dir().context("cannot find the current directory")?;
        let mut skipped = Vec::new();
        let file = match file {
            Some(path) if !path.is_file() => {
                return Err(Error::usage(format!("there is no configuration file {}", path.display())));
            }
            Some(path) => Some(path.to_owned()),
            None => {
                [PathBuf::from("config.toml"), user_dir("XDG_CONFIG_HOME", ".config").join("config.toml")]
                    .into_iter()
                    .find(|path| match layers::not_ours(path) {
                        Some(why) => {
                            skipped.push(format!("{} is skipped: {why}", path.display()));
                            false
                        }
                        None => path.is_file(),
                    })
            }
        };
        let in_project =
            file.as_deref().is_some_and(|path| !path.starts_with(user_dir("XDG_CONFIG_HOME", ".config")));
        let named = profile::named(&here, flag, &environment);
        // Without a configuration of its own the project is where the profile is.
        let project =
            file.as_deref().filter(|_| in_project).or(named.as_deref().filter(|path| path.is_file()));
        let base_dir = match project.and_then(Path::parent) {
            Some(parent) => here.join(parent),
            None => user_dir("XDG_STATE_HOME", ".local/state"),
        };
        let state_dir = match state_dir {
            Some(dir) => here.join(dir),
            None if project.is_some() => base_dir.join(".nsys"),
            None => base_dir.clone(),
        };
        let mut settings = layers::defaults()?;
        if let Some(path) = &file {
            skipped.extend(layers::add_file(&mut settings, path, false)?);
        }
        // The overlay belongs to one stack, and file, profile and environment say which one.
        let mut stack = stack_of(&settings, &environment)?;
        let found = profile::find(named.as_deref(), &stack.profile, &base_dir, file.as_deref())?;
        if let Some(found) = &found {
            layers::add_profile(&mut settings, found)?;
            stack = stack_of(&settings, &environment)?;
        }
        let overlay = state_dir.join(stack.name).join("tuned.toml");
        for tuned in [&overlay, &overlay::secrets_of(&overlay)] {
            if tuned.is_file() {
                layers::add_file(&mut settings, tuned, true)?;
            }
        }
        skipped.extend(variables::unknown(&settings, environment.iter().map(|(name, _)| name.as_str())));
        skipped.extend(former::in_environment(environment.iter().map(|(name, _)| name.as_str())));
        layers::add_environment(&mut settings, environment.into_iter())?;
        if let Some(found) = &found {
            // Whoever says so: what a profile describes is never run by nsys.
            layers::add_runtime(&mut settings, found)?;
        }
        let config = layers::build(&settings)?;
        check::values(&settings, &base_dir)?;
        let checked = config.check().and_then(|()| match &found {
            // A profile names what there is.
            Some(_) => Ok(()),
            None => config.check_external(),
        });
        checked.map_err(|error| check::with_origin(&settings, error))?;
        let profile = found.map_or_else(|| profile::companion(&config), |found| found.profile);
        Ok(Self {
            config,
            settings,
            file,
            state_dir,
            base_dir,
            overlay,
            profile: Arc::new(profile),
            profile_flag: flag.map(Path::to_owned),
            read_only: false,
            skipped,
        })
    }

    /// Reads the same configuration again, for instance after the overlay was written.
    ///
    /// # Errors
    /// As [`Loaded::load`].
    pub fn reload(&self) -> Result<Self> {
        let flag = self.profile_flag.as_deref();
        let again = Self::with_profile(
            flag,
            self.file.as_deref(),
            Some(&self.state_dir),
            process_env::settings()?.into_iter(),
        )?;
        Ok(Self { read_only: self.read_only, ..again })
    }

    /// A path that the profile names, which begins where the profile is.
    #[must_use]
    pub fn beside_profile(&self, path: &str) -> PathBuf {
        let dir = self.profile.file.as_deref().and_then(|file| Path::new(file).parent());
        dir.map_or_else(|| self.base_dir.join(path), |dir| dir.join(path))
    }

    /// Where load-test runs are kept.
    #[must_use]
    pub fn results_dir(&self) -> PathBuf {
        self.base_dir.join(&self.config.loadtest.results_dir)
    }
}

/// The stack as the layers so far describe it, with the environment over them.
fn stack_of(settings: &BTreeMap<String, Setting>, environment: &[(String, String)]) -> Result<StackSection> {
    let mut settings = settings.clone();
    layers::add_environment(&mut settings, environment.iter().cloned())?;
    Ok(layers::build(&settings)?.stack)
}

fn user_dir(variable: &str, fallback: &str) -> PathBuf {
    process_env::base_dir(variable, fallback).join("nsys")
}
