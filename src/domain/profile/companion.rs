//! The profile of the notification service that stands beside nsys, made from what both agree on.

use super::{FlowStart, Profile, ProfileAuth, ProfileFlow, ProfileRequest, StatusSet, Template};
use nsys_contract::{api::paths, topics};
use std::collections::BTreeMap;

/// What the configuration says of the companion's load: the shares of its requests, and the seeded rows that
/// they ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompanionLoad {
    /// Share of creations.
    pub create: f64,
    /// Share of reads by id.
    pub get: f64,
    /// Share of lists.
    pub list: f64,
    /// Share of lookups by correlation id.
    pub correlation: f64,
    /// Users that own the rows.
    pub users: u32,
    /// Rows in all.
    pub notifications: u32,
}

/// What its answers 200 and 201 mean: it creates with 201.
const CREATED: u16 = 201;

pub(super) fn profile(load: &CompanionLoad) -> Profile {
    let (users, rows) = (load.users.max(1), load.notifications.max(1));
    let body = format!(
        r#"{{"userId":"seed-user-{{{{rand {users}}}}}","channel":"{{{{pick EMAIL SMS PUSH IN_APP}}}}","type":"TRANSACTIONAL","priority":"MEDIUM","payload":{{"to":"user@example.com","deviceToken":"device-1","subject":"Load test","body":"A message of a load test."}},"correlationId":"{{{{id}}}}"}}"#
    );
    let all = paths::NOTIFICATIONS;
    let get = |name: &str, weight, path: String| request(name, weight, "GET", &path);
    let mut create = request("POST /notifications", load.create, "POST", all);
    create.body = Some(template(&body));
    create.headers.insert("content-type".into(), template("application/json"));
    create.acknowledged = StatusSet::of(&[CREATED]);
    Profile {
        name: "companion".into(),
        file: None,
        ready: Some(paths::READINESS.into()),
        control: Some(paths::LIVENESS.into()),
        auth: ProfileAuth::Account,
        requests: vec![
            create,
            // The ids that the seeding gave.
            get(
                "GET /notifications/{id}",
                load.get,
                format!("{all}/{{{{uuid-of nsys-seed- popular {rows}}}}}"),
            ),
            get(
                "GET /notifications?userId",
                load.list,
                format!("{all}?userId=seed-user-{{{{rand {users}}}}}&status=DELIVERED&limit=20"),
            ),
            get(
                "GET /notifications?correlationId",
                load.correlation,
                format!("{all}?correlationId=seed-correlation-{{{{rand {}}}}}", (rows / 10).max(1)),
            ),
        ],
        flows: [topics::NOTIFICATIONS, topics::RETRY].map(flow).into(),
        // Its table is known, and asked as such.
        ledger: None,
        settings: BTreeMap::new(),
        companion: true,
    }
}

fn flow(topic: &str) -> ProfileFlow {
    ProfileFlow { topic: topic.into(), group: topics::WORKER_GROUP.into(), begins: FlowStart::Earliest }
}

fn request(name: &str, weight: f64, method: &str, path: &str) -> ProfileRequest {
    ProfileRequest {
        name: name.into(),
        weight,
        method: method.into(),
        path: template(path),
        headers: BTreeMap::new(),
        body: None,
        success: StatusSet::of(&[200, CREATED]),
        acknowledged: StatusSet::default(),
    }
}

/// A template of this file; a test reads all of them.
fn template(source: &str) -> Template {
    Template::parse(source).unwrap_or_default()
}
