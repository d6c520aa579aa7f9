//! Runs of two stacks in one directory: only one's own are taken without their name.

use super::*;

pub(super) fn see_only_their_own_runs(place: &Place) {
    let own = place.json(&["loadtest", "show"])["id"].as_str().unwrap().to_owned();
    let listed = place.json(&["loadtest", "list"]);
    let count = listed.as_array().unwrap().len();
    let other = |args: &[&str]| {
        let output = place.command(args).env("NSYS_STACK__NAME", "other").output().unwrap();
        (output.status.code(), text(&output))
    };
    let unnamed: [&[&str]; 9] = [
        &["report"],
        &["report", "--verify"],
        &["diagnose"],
        &["compare", "latest~1"],
        &["tune", "plan", "--dry-run"],
        &["tune", "experiment", "--dry-run"],
        &["verify", "--against", "latest"],
        &["loadtest", "resume"],
        &["loadtest", "rm", "latest", "--yes"],
    ];
    for args in unnamed {
        let (code, said) = other(args);
        assert!(code == Some(1) && said.contains("of the stack other: 0 of"), "{args:?}: {said}");
        assert!(said.contains("loadtest list --all"), "{args:?}: {said}");
    }
    let (_, said) = other(&["next"]);
    assert!(!said.contains(&own), "{said}");

    // By its name it is taken, and that is said.
    for args in [&["diagnose", &own][..], &["loadtest", "show", &own, "-q"], &["compare", &own, &own]] {
        let (code, said) = other(args);
        assert!(code == Some(0) && said.contains(&format!("{own} is of another stack")), "{args:?}: {said}");
    }
    let (code, said) = other(&["tune", "plan", "--run", &own, "--dry-run"]);
    assert!(code == Some(4) && said.contains("is of another stack"), "{said}");
    let (code, said) = other(&["tune", "plan", "--run", &own, "--foreign", "--dry-run"]);
    assert!(code == Some(0) && said.contains("is of another stack"), "{said}");

    // A list tells whose each is; one of an older nsys is nobody's, and never taken.
    let (_, said) = other(&["loadtest", "list"]);
    assert!(
        said.contains(&format!("{count} more are not of this stack")) && said.contains("no runs yet"),
        "{said}"
    );
    let (_, said) = other(&["loadtest", "list", "--all"]);
    assert!(said.contains(&own) && said.contains(&format!("{} (", place.name)), "{said}");
    let path = place.dir.path().join("home/nsys/load-tests/results").join(&own).join("results.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut run: serde_json::Value = serde_json::from_str(&kept).unwrap();
    run.as_object_mut().unwrap().remove("stack");
    std::fs::write(&path, run.to_string()).unwrap();
    assert_ne!(place.json(&["loadtest", "show"])["id"], own.as_str());
    assert!(place.ok(&["loadtest", "show", &own]).contains("older nsys"));
    let all = place.json(&["loadtest", "list", "--all"]);
    let nobodys = all.as_array().unwrap().iter().find(|one| one["id"] == own.as_str()).unwrap();
    assert!(nobodys["stack"].is_null(), "{nobodys}");
    // Damaged, it is named with the way out of it, and can be deleted.
    std::fs::write(&path, &kept[..kept.len() / 2]).unwrap();
    let hint = format!("nsys loadtest rm {own}");
    assert!(place.ok(&["loadtest", "list"]).contains(&hint));
    assert!(refused(place, &["report", &own], 1).contains(&hint));
    std::fs::write(&path, kept).unwrap();
    assert_eq!(place.json(&["loadtest", "show"])["id"], own.as_str());
}
