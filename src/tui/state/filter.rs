//! A filter of rows and lines: text or a regular expression, turned round by a `!` before it.

use regex::Regex;

/// What is let through.
#[derive(Clone, Debug)]
pub struct Filter {
    /// As it was typed.
    pub text: String,
    inverse: bool,
    pattern: Regex,
}

impl Filter {
    /// Reads a filter; nothing typed is no filter. Case matters only when a capital is typed.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn new(text: &str) -> Result<Option<Self>, String> {
        let (inverse, wanted) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        if wanted.is_empty() {
            return Ok(None);
        }
        let case = if wanted.chars().any(char::is_uppercase) { "" } else { "(?i)" };
        let pattern = Regex::new(&format!("{case}{wanted}"))
            .map_err(|_| format!("{wanted:?} is not a regular expression"))?;
        Ok(Some(Self { text: text.to_owned(), inverse, pattern }))
    }

    /// Whether this text is let through.
    #[must_use]
    pub fn lets(&self, text: &str) -> bool {
        self.pattern.is_match(text) != self.inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets(filter: &str, text: &str) -> bool {
        Filter::new(filter).unwrap().unwrap().lets(text)
    }

    #[test]
    fn text_and_expressions_and_their_inverse() {
        assert!(lets("retry", "notifications-RETRY") && !lets("Retry", "notifications-retry"));
        assert!(lets("^app-[12]$", "app-2") && !lets("^app-[12]$", "app-3"));
        assert!(lets("!app", "worker-1") && !lets("!app", "app-1"));
        assert!(Filter::new("").unwrap().is_none() && Filter::new("!").unwrap().is_none());
        assert!(Filter::new("a(").is_err());
    }
}
