//! Whose data a caller may touch. Pure.

/// The tenants a caller may read and write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Every tenant: admins.
    All,
    /// One tenant; `None` is the space of what belongs to no tenant.
    Tenant(Option<String>),
}

impl Scope {
    /// Whether something of this tenant is within reach.
    pub(crate) fn holds(&self, tenant: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(own) => own.as_deref() == tenant,
        }
    }

    /// The scope of a request that names a tenant; `None` when it is out of reach.
    pub(crate) fn narrowed(&self, tenant: Option<&str>) -> Option<Self> {
        match tenant {
            None => Some(self.clone()),
            Some(tenant) => self.holds(Some(tenant)).then(|| Self::Tenant(Some(tenant.to_owned()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_does_not_reach_another_nor_what_has_none() {
        let own = Scope::Tenant(Some("a".into()));
        assert!(own.holds(Some("a")) && !own.holds(Some("b")) && !own.holds(None));
        assert_eq!(own.narrowed(Some("b")), None);
        assert_eq!(own.narrowed(None), Some(own.clone()));
        assert!(!Scope::Tenant(None).holds(Some("a")));
    }

    #[test]
    fn everything_can_be_narrowed_to_one_tenant() {
        assert_eq!(Scope::All.narrowed(Some("a")), Some(Scope::Tenant(Some("a".into()))));
    }
}
