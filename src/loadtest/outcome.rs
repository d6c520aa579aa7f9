//! What a run came to, as the result of the command that offered it.

use crate::domain::run::Run;
use crate::domain::verdict::Verdict;
use crate::error::{Error, ErrorKind, Result};
use std::path::Path;

/// Ok when every objective was met.
///
/// # Errors
/// When they were not, the generator was the limit, or the run did not finish: each of its own kind.
pub fn outcome(run: &Run, dir: &Path) -> Result<()> {
    let hint = format!("nsys report {}", dir.file_name().unwrap_or_default().to_string_lossy());
    if let Some(rule) = &run.stopped_by {
        return Err(Error::new(ErrorKind::ObjectivesNotMet, format!("stopped by a rule: {rule}")).hint(hint));
    }
    if let Some(why) = &run.broken_off {
        return Err(
            Error::unreachable(format!("{why}; results so far are kept")).hint("nsys loadtest resume")
        );
    }
    match run.verdict {
        Verdict::Passed => Ok(()),
        Verdict::Failed => Err(Error::new(ErrorKind::ObjectivesNotMet, "objectives were not met").hint(hint)),
        Verdict::GeneratorLimited => Err(Error::new(
            ErrorKind::GeneratorLimited,
            "the load could not be offered: the generator was the limit",
        )
        .hint(hint)),
        Verdict::Interrupted => {
            Err(Error::interrupted("the load test was interrupted; results so far are kept")
                .hint("nsys loadtest resume"))
        }
        Verdict::Unknown => {
            Err(Error::failed("something needed for the verdict could not be measured").hint(hint))
        }
    }
}
