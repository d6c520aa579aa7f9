//! Sections and keys that older versions called otherwise: they are still read, and pointed out.

use super::variables::variable;

/// What a section was called, and what it is called.
const SECTIONS: [(&str, &str); 1] = [("targets", "objectives")];
/// What a key was called, by the present name of its section, and what it is called.
const KEYS: [(&str, &str); 1] = [("loadtest.calm_cpu_pct", "loadtest.settled_cpu_pct")];

/// What this section is called today.
pub(super) fn current(section: &str) -> &str {
    SECTIONS.iter().find(|(was, _)| *was == section).map_or(section, |(_, is)| is)
}

/// What the key of a section, whatever that is called, is called today: `section.key`.
pub(super) fn current_key(section: &str, key: &str) -> String {
    let full = format!("{}.{key}", current(section));
    KEYS.iter().find(|(was, _)| *was == full).map_or(full, |(_, is)| (*is).to_owned())
}

/// What to say of the former names among these variables.
pub(super) fn in_environment<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let said = |name: &str| {
        let (section, key) = name.strip_prefix("NSYS_")?.split_once("__")?;
        let (section, key) = (section.to_lowercase(), key.to_lowercase());
        let today = current_key(&section, &key);
        let is_former = today != format!("{section}.{key}");
        is_former.then(|| format!("the variable {name} is called {} now; it is still read", variable(&today)))
    };
    names.filter_map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::super::layers;
    use super::*;

    #[test]
    fn a_former_section_is_read_and_pointed_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "[targets]\np95_ms = 70.0\n").unwrap();
        let mut settings = layers::defaults().unwrap();
        let said = layers::add_file(&mut settings, &file, false).unwrap();
        assert_eq!(layers::build(&settings).unwrap().objectives.p95_ms, 70.0);
        assert!(layers::not_ours(&file).is_none());
        assert!(said[0].ends_with("[targets] is called [objectives] now; it is still read"));
        let variable = ("NSYS_TARGETS__P95_MS".to_owned(), "80.0".to_owned());
        layers::add_environment(&mut settings, std::iter::once(variable)).unwrap();
        assert_eq!(layers::build(&settings).unwrap().objectives.p95_ms, 80.0);
        assert!(
            in_environment(std::iter::once("NSYS_TARGETS__P95_MS"))[0].contains("NSYS_OBJECTIVES__P95_MS")
        );
        std::fs::write(&file, "[targets]\np95_ms = 70.0\n[objectives]\np95_ms = 60.0\n").unwrap();
        let both = layers::add_file(&mut settings, &file, false).unwrap_err().message;
        assert!(both.contains("[targets] and [objectives] are one section"), "{both}");
    }

    #[test]
    fn a_former_key_is_read_and_pointed_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "[loadtest]\ncalm_cpu_pct = 30.0\n").unwrap();
        let mut settings = layers::defaults().unwrap();
        let said = layers::add_file(&mut settings, &file, false).unwrap();
        assert_eq!(layers::build(&settings).unwrap().loadtest.settled_cpu_pct, 30.0);
        assert!(
            said[0]
                .ends_with("loadtest.calm_cpu_pct is called loadtest.settled_cpu_pct now; it is still read")
        );
        let variable = ("NSYS_LOADTEST__CALM_CPU_PCT".to_owned(), "40.0".to_owned());
        layers::add_environment(&mut settings, std::iter::once(variable)).unwrap();
        assert_eq!(layers::build(&settings).unwrap().loadtest.settled_cpu_pct, 40.0);
        let said = in_environment(std::iter::once("NSYS_LOADTEST__CALM_CPU_PCT"));
        assert!(said[0].contains("NSYS_LOADTEST__SETTLED_CPU_PCT"), "{said:?}");
        std::fs::write(&file, "[loadtest]\ncalm_cpu_pct = 30.0\nsettled_cpu_pct = 20.0\n").unwrap();
        let both = layers::add_file(&mut settings, &file, false).unwrap_err().message;
        assert!(both.contains("calm_cpu_pct and settled_cpu_pct are one key"), "{both}");
    }

    #[test]
    fn the_present_names_are_not_pointed_out() {
        let names = ["NSYS_OBJECTIVES__P95_MS", "NSYS_LOADTEST__SETTLED_CPU_PCT", "NSYS_STATE_DIR", "HOME"];
        assert!(in_environment(names.into_iter()).is_empty());
        for (_, is) in KEYS {
            assert!(layers::defaults().unwrap().contains_key(is), "{is}");
        }
    }
}
