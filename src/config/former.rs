//! Sections that older versions called otherwise: they are still read, and pointed out.

/// What a section was called, and what it is called.
const FORMER: [(&str, &str); 1] = [("targets", "objectives")];

/// What this section is called today.
pub(super) fn current(section: &str) -> &str {
    FORMER.iter().find(|(was, _)| *was == section).map_or(section, |(_, is)| is)
}

/// What to say of the former names among these variables.
pub(super) fn in_environment<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let said = |name: &str| {
        let (was, is) = FORMER.iter().find(|(was, _)| name.starts_with(&prefix(was)))?;
        let today = name.replacen(&prefix(was), &prefix(is), 1);
        Some(format!("the variable {name} is called {today} now; it is still read"))
    };
    names.filter_map(said).collect()
}

fn prefix(section: &str) -> String {
    format!("NSYS_{}__", section.to_uppercase())
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
}
