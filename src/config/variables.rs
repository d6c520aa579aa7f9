//! Variables that look like ours and set nothing.

use super::Setting;
use crate::error::nearest;
use std::collections::BTreeMap;

/// Variables that nsys gives to what it starts, or that its tests go by.
const OTHERS: [&str; 10] = [
    "NSYS_ACCURACY",
    "NSYS_BLESS",
    "NSYS_COMPLETE",
    "NSYS_IMAGE",
    "NSYS_LEVEL",
    "NSYS_PLAN",
    "NSYS_PROFILE",
    "NSYS_TEST",
    "NSYS_TRUTH",
    "NSYS_VERSION",
];

/// The variable that sets this key.
pub(crate) fn variable(key: &str) -> String {
    format!("NSYS_{}", key.replace('.', "__").to_uppercase())
}

/// What to say of each variable that begins with `NSYS_` and sets nothing, with the nearest one that does.
pub(super) fn unknown<'a>(
    settings: &BTreeMap<String, Setting>,
    names: impl Iterator<Item = &'a str>,
) -> Vec<String> {
    let ours: Vec<_> = settings.keys().map(|key| variable(key)).collect();
    let sets_nothing = |name: &&str| {
        let is_like_ours = name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("NSYS_"));
        // One with two underscores is refused where it is read, with the nearest key.
        let is_read = name.starts_with("NSYS_") && name.contains("__");
        is_like_ours && !is_read && !OTHERS.iter().any(|other| name.starts_with(other))
    };
    let said = |name: &str| {
        let near = nearest(&name.to_uppercase(), ours.iter().map(String::as_str));
        let meant = near.map_or_else(
            || "variables are called NSYS_SECTION__KEY; nsys config show lists the keys".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        format!("the variable {name} sets nothing: {meant}")
    };
    names.filter(sets_nothing).map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::super::layers;
    use super::*;

    #[test]
    fn a_variable_that_sets_nothing_is_named_with_the_nearest_that_does() {
        let settings = layers::defaults().unwrap();
        let told = |name: &str| unknown(&settings, std::iter::once(name));
        assert!(
            told("NSYS_STACK_NAMES")[0].ends_with("did you mean NSYS_STACK__NAME?"),
            "{:?}",
            told("NSYS_STACK_NAMES")
        );
        assert!(told("nsys_stack__name")[0].contains("NSYS_STACK__NAME"));
        assert!(told("NSYS_FOO")[0].starts_with("the variable NSYS_FOO sets nothing"));
        for fine in ["NSYS_STACK__NAME", "NSYS_TEST_RUNTIME", "PATH", "NS"] {
            assert!(told(fine).is_empty(), "{fine}");
        }
    }
}
