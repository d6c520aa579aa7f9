//! What the profile says of the stack: which parts it names, and how its requests show who makes them.

use super::{Stack, account};
use crate::domain::profile::{Capability, Profile, ProfileAuth, ProfilePart, SecretSource};
use crate::domain::run::ProfileGap;
use crate::error::{Context, Error, Result};
use crate::measured::{Measured, Reason};

/// A header that shows who makes a request: its name in lower case, and its value.
pub type Credentials = (String, String);

impl Stack {
    /// What nsys knows of the stack before it has asked it anything.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.loaded.profile
    }

    /// Why nothing can be known of a part: the profile does not name it. The companion names all of them.
    #[must_use]
    pub fn unnamed(&self, part: ProfilePart) -> Option<Reason> {
        let (profile, config) = (self.profile(), &self.loaded.config);
        let is_named = profile.is_companion()
            || match part {
                ProfilePart::Postgres => !config.db.url.is_empty(),
                ProfilePart::Redis => !config.cache.url.is_empty(),
                ProfilePart::Flows => !profile.flows.is_empty() && !config.kafka.brokers.is_empty(),
                ProfilePart::Ledger => profile.ledger.is_some() && !config.db.url.is_empty(),
                ProfilePart::Metrics | ProfilePart::Processes => false,
            };
        (!is_named).then(|| profile.names_no(part).into())
    }

    /// What cannot be known, because the profile names nothing that would tell it.
    #[must_use]
    pub fn gaps(&self) -> Vec<ProfileGap> {
        let gap = |part: ProfilePart| {
            let why = self.unnamed(part)?.into_owned();
            Some(ProfileGap { what: part.without().to_owned(), why })
        };
        ProfilePart::ALL.into_iter().filter_map(gap).collect()
    }

    /// What `ask` finds of a part; where the profile does not name it nobody is asked.
    pub async fn if_named<T>(
        &self,
        part: ProfilePart,
        ask: impl Future<Output = Measured<T>>,
    ) -> Measured<T> {
        match self.unnamed(part) {
            Some(why) => Measured::NotApplicable(why),
            None => ask.await,
        }
    }

    /// Refuses what this stack does not have.
    ///
    /// # Errors
    /// Refused where the profile does not have it.
    pub fn must_have(&self, capability: Capability, what: &str) -> Result<()> {
        let profile = self.profile();
        if profile.has(capability) {
            return Ok(());
        }
        let why = format!("{what}: the profile {} has no {}", profile.name, capability.as_str());
        Err(Error::refused(why).hint("docs/ANY-STACK.md lists what works on any stack"))
    }

    /// The header by which requests of the load show who makes them; none where everybody may ask.
    ///
    /// # Errors
    /// When the secret is not where the profile says, or the companion's account cannot sign in.
    pub async fn credentials(&self) -> Result<Option<Credentials>> {
        match &self.profile().auth {
            ProfileAuth::Open => Ok(None),
            ProfileAuth::Account => {
                let token = account::loadtest_user(self).await?;
                Ok(Some(("authorization".into(), format!("Bearer {token}"))))
            }
            ProfileAuth::Header { name, prefix, secret } => {
                Ok(Some((name.clone(), format!("{prefix}{}", self.secret_of(secret)?))))
            }
        }
    }

    fn secret_of(&self, source: &SecretSource) -> Result<String> {
        let text = match source {
            SecretSource::Variable(name) => crate::process_env::var(name).ok_or_else(|| {
                Error::usage(format!("the variable {name} is not set, and the auth of the profile needs it"))
            })?,
            SecretSource::File(path) => {
                let path = self.loaded.beside_profile(path);
                std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read the secret in {}", path.display()))?
            }
        };
        let text = text.trim().to_owned();
        if text.is_empty() || text.contains(['\n', '\r']) {
            return Err(Error::usage(
                "the secret that the auth of the profile names is empty, or more than a line",
            ));
        }
        Ok(text)
    }
}
