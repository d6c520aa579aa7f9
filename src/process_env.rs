//! The environment variables of this process. They are read here and nowhere else, so that no setting hides from
//! `nsys config show`: what sets something comes in through `config`.
#![expect(clippy::disallowed_methods, reason = "the one place that reads variables")]

use crate::error::{Error, Result};
use std::ffi::OsString;
use std::path::PathBuf;

/// One variable; none when it is not set, or is not UTF-8.
#[must_use]
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// One variable, whatever its bytes.
#[must_use]
pub fn var_os(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Every variable, whatever its bytes.
pub fn all_os() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// Every variable that may set something. Others that are not UTF-8 concern nobody here.
///
/// # Errors
/// When one that begins with `NSYS_` is not UTF-8.
pub fn settings() -> Result<Vec<(String, String)>> {
    readable(all_os())
}

fn readable(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (name, value) in all {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => found.push((name, value)),
            Err(_) if name.starts_with("NSYS_") => {
                return Err(Error::usage(format!("the variable {name} is not valid UTF-8")));
            }
            Err(_) => {}
        }
    }
    Ok(found)
}

/// A directory of the XDG base directory specification, or the place below the home directory that stands for it.
#[must_use]
pub fn base_dir(variable: &str, below_home: &str) -> PathBuf {
    let base = var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(var_os("HOME").unwrap_or_else(|| "/root".into()));
    base.unwrap_or_else(|| home().join(below_home))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    #[test]
    fn a_variable_that_is_not_utf_8_is_an_error_only_where_it_sets_something() {
        let latin = || OsString::from_vec(vec![b'm', 0xfc, b'd', b'e']);
        let all =
            |name: &str| vec![("PATH".into(), "/bin".into()), (name.into(), latin()), (latin(), "1".into())];
        let read = readable(all("LESSCHARSET").into_iter()).unwrap();
        assert_eq!(read, [("PATH".to_owned(), "/bin".to_owned())]);
        let error = readable(all("NSYS_STACK__NAME").into_iter()).unwrap_err();
        assert_eq!(error.message, "the variable NSYS_STACK__NAME is not valid UTF-8");
    }
}
