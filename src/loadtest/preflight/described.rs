//! What follows from the profile before a run: whether its requests can be made, and what they will leave unknown.

use crate::domain::preflight::{PreflightFinding, PreflightStatus};
use crate::loadtest::target::LoadTarget;
use crate::stack::Stack;

/// Nothing is to be said of the companion: all of it is built in.
pub(super) fn findings(stack: &Stack) -> Vec<PreflightFinding> {
    if stack.profile().is_companion() { Vec::new() } else { vec![requests(stack), gaps(stack)] }
}

fn requests(stack: &Stack) -> PreflightFinding {
    match LoadTarget::of(&stack.endpoints.api_url()).requests(stack, None) {
        Ok(requests) => {
            let names: Vec<_> = requests.iter().map(|one| one.name.as_str()).collect();
            let detail = format!("{} kinds: {}", names.len(), names.join(", "));
            PreflightFinding::new("requests", PreflightStatus::Ok, detail)
        }
        Err(error) => {
            let finding = PreflightFinding::new("requests", PreflightStatus::Refuse, error.message);
            finding.remedy(error.hint.unwrap_or_else(|| "nsys profile check".to_owned()))
        }
    }
}

/// Nobody shall find out from the report alone that half of it is missing.
fn gaps(stack: &Stack) -> PreflightFinding {
    let gaps: Vec<_> = stack.gaps().into_iter().map(|gap| gap.what).collect();
    let name = "measurement";
    if gaps.is_empty() {
        return PreflightFinding::new(name, PreflightStatus::Ok, "the profile names every part");
    }
    let detail = format!("the profile {} leaves unknown: {}", stack.profile().name, gaps.join("; "));
    PreflightFinding::new(name, PreflightStatus::Unknown, detail)
}
