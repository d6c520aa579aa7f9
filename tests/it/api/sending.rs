//! Sending: one, many, from templates; following what becomes of them.

use super::client::{Api, inbox, told};
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

fn in_an_hour() -> String {
    (Timestamp::now() + SignedDuration::from_hours(1)).to_string()
}

pub(super) async fn one_notification_is_sent_followed_and_changed(api: &Api) {
    let mut body = inbox("sending-user");
    body["tenantId"] = "sending".into();
    let request = api.request(Method::POST, "/notifications").bearer_auth(&api.admin).json(&body);
    let request = request.header("idempotency-key", "\"sending-1\"").header("x-correlation-id", "act-1");
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let sent = told(request.header("traceparent", parent).send().await.expect("an answer")).await;
    assert_eq!(sent.header("x-correlation-id"), "act-1");
    assert!(sent.header("traceparent").starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    let location = sent.header("location").to_owned();
    let shown = sent.expect(201);
    let id = shown["id"].as_str().expect("an id").to_owned();
    assert_eq!(location, format!("/notifications/{id}"));
    assert_eq!((&shown["correlationId"], &shown["idempotencyKey"]), (&json!("act-1"), &json!("sending-1")));

    // The same again is the same; another request under the key is refused.
    body["idempotencyKey"] = "sending-1".into();
    let again = api.post("/notifications", &body).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(201)["id"], id.as_str());
    body["payload"] = json!({"title": "Another"});
    api.post("/notifications", &body).await.expect(422);

    let delivered = api.until(&location, &api.admin, |answer| answer.body["status"] == "DELIVERED").await;
    assert_eq!(delivered["userId"], "sending-user");
    let events = api.get(&format!("{location}/events")).await.expect(200);
    let states: Vec<_> = events["data"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    assert_eq!(states, ["PENDING", "DELIVERED"]);
    let attempts = api.get(&format!("{location}/attempts")).await.expect(200);
    assert_eq!(
        (&attempts["data"][0]["attempt"], &attempts["data"][0]["outcome"]),
        (&json!(1), &json!("DELIVERED"))
    );
    let closed = api.call(Method::POST, &format!("{location}/cancel"), Some(&api.admin), None).await;
    assert!(closed.expect(409)["detail"].as_str().unwrap().contains("DELIVERED"));

    let request =
        api.request(Method::POST, "/notifications").bearer_auth(&api.admin).json(&inbox("sending-user"));
    let later = told(request.header("prefer", "respond-async").send().await.expect("an answer")).await;
    assert_eq!(later.header("preference-applied"), "respond-async");
    let id = later.expect(202)["id"].as_str().expect("an id").to_owned();
    api.until(&format!("/notifications/{id}"), &api.admin, |answer| answer.status == 200).await;

    rescheduled_and_cancelled(api).await;
    listed(api).await;
}

async fn rescheduled_and_cancelled(api: &Api) {
    let mut body = inbox("sending-user");
    body["scheduledFor"] = in_an_hour().into();
    let id = api.post("/notifications", &body).await.expect(201)["id"].as_str().expect("an id").to_owned();
    let path = format!("/notifications/{id}");
    let history = format!("{path}/events");
    api.until(&history, &api.admin, |answer| answer.body["data"][0]["status"] == "SCHEDULED").await;
    let patch = async |tag: &str, wanted: Value| {
        let request = api.request(Method::PATCH, &path).bearer_auth(&api.admin).header("if-match", tag);
        told(request.json(&wanted).send().await.expect("an answer")).await
    };
    // The process may show its own copy for a second.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let tag = api.get(&path).await.header("etag").to_owned();
    let moved = patch(&tag, json!({"priority": "URGENT"})).await;
    let new_tag = moved.header("etag").to_owned();
    assert_eq!(moved.expect(200)["priority"], "URGENT");
    assert_ne!(tag, new_tag);
    patch(&tag, json!({"priority": "LOW"})).await.expect(412);
    patch("*", json!({"scheduledFor": "2000-01-01T00:00:00Z"})).await.expect(422);
    patch("*", json!({})).await.expect(422);
    patch(&new_tag, json!({"payload": {"nothing": 1}})).await.expect(422);
    let cancel = format!("{path}/cancel");
    let cancelled = api.call(Method::POST, &cancel, Some(&api.admin), None).await.expect(200);
    assert_eq!(cancelled["status"], "CANCELLED");
    assert_eq!(api.get(&path).await.expect(200)["status"], "CANCELLED", "a cached copy is shown");
    patch("*", json!({"priority": "LOW"})).await.expect(409);
}

async fn listed(api: &Api) {
    for number in 0..7 {
        let mut body = inbox("listed-user");
        body["correlationId"] = format!("list-{}", number % 2).into();
        api.post("/notifications", &body).await.expect(201);
    }
    let all =
        |answer: &super::client::Answer| answer.body["data"].as_array().is_some_and(|data| data.len() == 7);
    api.until("/notifications?userId=listed-user", &api.admin, all).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/notifications?userId=listed-user&limit=3{cursor}")).await.expect(200);
        seen.extend(page["data"].as_array().unwrap().iter().map(|one| one["id"].to_string()));
        if page["has_more"] == false {
            break;
        }
        cursor = format!("&cursor={}", page["next_cursor"].as_str().expect("a cursor"));
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (7, 7));
    let count = async |query: &str| {
        let page = api.get(&format!("/notifications?userId=listed-user{query}")).await.expect(200);
        page["data"].as_array().unwrap().len()
    };
    assert_eq!(count("&correlationId=list-1").await, 3);
    assert_eq!(count("&status=FAILED").await, 0);
    assert_eq!(count("&channel=IN_APP&type=SYSTEM&priority=MEDIUM").await, 7);
    assert_eq!(count("&take=5&skip=5").await, 2);
    assert_eq!(count("&to=2000-01-01T00:00:00Z").await, 0);
}

pub(super) async fn a_batch_answers_for_each(api: &Api) {
    let mut items: Vec<_> = (0..999).map(|number| inbox(&format!("batch-{}", number % 10))).collect();
    items[5] = json!({"userId": "u", "channel": "EMAIL", "type": "SYSTEM"});
    items[6] = json!("not a notification");
    items[7]["idempotencyKey"] = "batch-key".into();
    items[8]["idempotencyKey"] = "batch-key".into();
    items[8]["userId"] = items[7]["userId"].clone();
    let answer = api.post("/notifications/batch", &json!({ "notifications": items })).await.expect(200);
    assert_eq!((&answer["accepted"], &answer["refused"]), (&json!(997), &json!(2)));
    let results = answer["results"].as_array().expect("results");
    assert_eq!(results.len(), 999);
    assert!(results.iter().enumerate().all(|(place, one)| one["index"] == place));
    assert_eq!(results[5]["problem"]["errors"][0]["pointer"], "/payload/to");
    assert_eq!(results[6]["status"], 422);
    assert_eq!(results[7]["id"], results[8]["id"], "one key, one id");
    let last = format!("/notifications/{}", results[998]["id"].as_str().expect("an id"));
    api.until(&last, &api.admin, |answer| answer.body["status"] == "DELIVERED").await;
    let too_many: Vec<_> = (0..1_001).map(|_| inbox("batch")).collect();
    api.post("/notifications/batch", &json!({ "notifications": too_many })).await.expect(413);
    api.post("/notifications/batch", &json!({ "items": [] })).await.expect(422);
    assert_eq!(
        api.post("/notifications/batch", &json!({ "notifications": [] })).await.expect(200)["accepted"],
        0
    );
}

pub(super) async fn templates_are_filled_and_bounded(api: &Api) {
    let payload =
        json!({"title": "Hello {{ name|upper }}", "items": "{% for one in list %}{{ one }};{% endfor %}"});
    let new = json!({"id": "greeting", "tenantId": "templates", "channel": "IN_APP", "payload": payload});
    let made = api.post("/templates", &new).await;
    assert_eq!(made.header("etag"), "\"1\"");
    made.expect(201);
    api.post("/templates", &new).await.expect(409);
    let data = json!({"templateData": {"name": "Ada", "list": [1, 2]}});
    let rendered = api.post("/templates/greeting/render?tenantId=templates", &data).await.expect(200);
    assert_eq!(rendered["payload"], json!({"title": "Hello ADA", "items": "1;2;"}));
    api.post("/templates/greeting/render?tenantId=templates", &json!({})).await.expect(422);

    let mut send = json!({"userId": "u", "tenantId": "templates", "channel": "IN_APP", "type": "SYSTEM",
        "templateId": "greeting", "templateData": {"name": "Ada", "list": []}});
    api.post("/notifications", &send).await.expect(201);
    send["templateData"] = json!({"name": "Ada"});
    assert_eq!(api.post("/notifications", &send).await.expect(422)["errors"][0]["pointer"], "/templateData");
    send["channel"] = "EMAIL".into();
    send["templateData"] = json!({"name": "Ada", "list": []});
    assert_eq!(api.post("/notifications", &send).await.expect(422)["errors"][0]["pointer"], "/templateId");

    for source in ["{{ a ~ a }}", "{% set a = 1 %}", "{{ a|nothing }}", "{{ a"] {
        let bad = json!({"id": "bad", "channel": "IN_APP", "payload": {"title": source}});
        assert_eq!(
            api.post("/templates", &bad).await.expect(422)["errors"][0]["pointer"],
            "/payload/title",
            "{source}"
        );
    }
    deep_and_large_templates_are_refused(api).await;
    let path = "/templates/greeting?tenantId=templates";
    let put = async |tag: &str| {
        let request = api.request(Method::PUT, path).bearer_auth(&api.admin).header("if-match", tag);
        told(
            request
                .json(&json!({"channel": "IN_APP", "payload": {"title": "New"}}))
                .send()
                .await
                .expect("an answer"),
        )
        .await
    };
    put("\"9\"").await.expect(412);
    assert_eq!(put("\"1\"").await.expect(200)["version"], 2);
    api.call(Method::DELETE, path, Some(&api.admin), None).await.expect(204);
    api.get(path).await.expect(404);

    let preferences = "/users/u/preferences?tenantId=templates";
    assert_eq!(api.get(preferences).await.expect(200)["muted"], json!([]));
    let wanted = json!({"timezone": "Europe/Berlin", "quietHours": {"from": "22:00", "to": "07:00"},
        "muted": [{"channel": "IN_APP", "type": "MARKETING"}]});
    let kept = api.call(Method::PUT, preferences, Some(&api.admin), Some(&wanted)).await.expect(200);
    assert_eq!((&kept["quietHours"], &kept["muted"]), (&wanted["quietHours"], &wanted["muted"]));
    let bad = json!({"timezone": "Mars/Base", "quietHours": {"from": "8", "to": "25:00"}});
    let wrong = api.call(Method::PUT, preferences, Some(&api.admin), Some(&bad)).await.expect(422);
    assert_eq!(wrong["errors"].as_array().expect("errors").len(), 3);
}

async fn deep_and_large_templates_are_refused(api: &Api) {
    let pointers = |answer: &Value| answer["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
    for source in [format!("{{{{ {}1 }}}}", "-".repeat(9_000)), format!("{{{{ x{} }}}}", ".a".repeat(8_000))]
    {
        let deep =
            json!({"id": "deep", "tenantId": "templates", "channel": "IN_APP", "payload": {"title": source}});
        assert_eq!(pointers(&api.post("/templates", &deep).await.expect(422)), "/payload/title");
    }
    let fields = |count: usize| {
        (0..count).map(|n| (format!("f{n}"), json!("{{ x }}"))).collect::<serde_json::Map<_, _>>()
    };
    let many = |count: usize| json!({"id": "many", "tenantId": "templates", "channel": "IN_APP", "payload": fields(count)});
    assert_eq!(pointers(&api.post("/templates", &many(5_000)).await.expect(422)), "/payload");
    api.post("/templates", &many(200)).await.expect(201);
    let data = json!({"x": "y".repeat(60_000)});
    let wrong = api
        .post("/templates/many/render?tenantId=templates", &json!({"templateData": data}))
        .await
        .expect(422);
    assert_eq!(pointers(&wrong), "/templateData");
    let send = |data: Value| {
        json!({"userId": "u", "tenantId": "templates", "channel": "IN_APP", "type": "SYSTEM",
        "templateId": "many", "templateData": data, "payload": {"title": "t"}})
    };
    assert_eq!(pointers(&api.post("/notifications", &send(data)).await.expect(422)), "/templateData");
    // What the template gives fits; with the caller's own fields it does not.
    let mut whole = send(json!({"x": "y".repeat(300)}));
    api.post("/notifications", &whole).await.expect(201);
    whole["payload"]["title"] = "t".repeat(10_000).into();
    assert_eq!(pointers(&api.post("/notifications", &whole).await.expect(422)), "/payload");
    let unfit = json!({"id": "unfit", "tenantId": "templates", "channel": "IN_APP", "payload": {"title": "t", "n": f64::MAX}});
    assert_eq!(pointers(&api.post("/templates", &unfit).await.expect(422)), "/payload/n");
    let unfit = json!({"templateData": {"x": {"n": f64::MAX}}});
    let wrong = api.post("/templates/many/render?tenantId=templates", &unfit).await.expect(422);
    assert_eq!(pointers(&wrong), "/templateData/x/n");
    api.get("/templates?tenantId=templates").await.expect(200);
}

pub(super) async fn nobody_sends_in_anothers_name(api: &Api) {
    let operator = api.account("OPERATOR", "senders-a").await;
    let mail = |from: &str| json!({"userId": "u", "channel": "EMAIL", "type": "SYSTEM", "payload": {"to": "a@example.com", "from": from}});
    let send = async |token: &str, body: Value| {
        api.call(Method::POST, "/notifications", Some(token), Some(&body)).await
    };
    let wrong = send(&operator, mail("CEO <ceo@bank.example>")).await.expect(422);
    assert_eq!(wrong["errors"][0]["pointer"], "/payload/from", "{wrong}");
    assert!(wrong["errors"][0]["detail"].as_str().unwrap().contains("POST /senders"), "{wrong}");
    send(&operator, mail("notifications@example.com")).await.expect(201);
    // An operator's is not verified by registering it, an administrator's is.
    let identity =
        |tenant: &str| json!({"channel": "EMAIL", "sender": "Sales@Acme.example", "tenantId": tenant});
    let own =
        api.call(Method::POST, "/senders", Some(&operator), Some(&identity("senders-a"))).await.expect(201);
    assert_eq!(own["verifiedAt"], Value::Null, "{own}");
    send(&operator, mail("sales@acme.example")).await.expect(422);
    // Its code goes out in no tenant, where only administrators see what became of it.
    api.until("/notifications?channel=EMAIL&type=TRANSACTIONAL&limit=200", &api.admin, |mails| {
        mails.body["data"].as_array().is_some_and(|all| all.iter().any(|one| one["tenantId"] == Value::Null))
    })
    .await;
    let seen =
        api.call(Method::GET, "/notifications?channel=EMAIL&type=TRANSACTIONAL", Some(&operator), None).await;
    assert_eq!(seen.expect(200)["data"], json!([]));
    api.post("/senders", &identity("senders-a")).await.expect(201);
    api.until("/senders", &operator, |answer| !answer.body["data"][0]["verifiedAt"].is_null()).await;
    send(&operator, mail("Sales <SALES@acme.example>")).await.expect(201);
    api.post("/senders", &identity("senders-a")).await.expect(409);
    // Another tenant may not, in no way.
    let stranger = api.account("OPERATOR", "senders-b").await;
    send(&stranger, mail("sales@acme.example")).await.expect(422);
    let batch = json!({"notifications": [mail("sales@acme.example")]});
    let batch =
        api.call(Method::POST, "/notifications/batch", Some(&stranger), Some(&batch)).await.expect(200);
    assert_eq!(batch["results"][0]["status"], 422, "{batch}");
    let template =
        json!({"id": "spoof", "channel": "EMAIL", "payload": {"to": "a@example.com", "from": "{{ who }}"}});
    api.call(Method::POST, "/templates", Some(&stranger), Some(&template)).await.expect(201);
    let filled = json!({"userId": "u", "channel": "EMAIL", "type": "SYSTEM", "templateId": "spoof",
        "templateData": {"who": "sales@acme.example"}});
    send(&stranger, filled).await.expect(422);
    let mut later = mail("notifications@example.com");
    later["scheduledFor"] = json!(in_an_hour());
    let later = send(&stranger, later).await.expect(201);
    let path = format!("/notifications/{}", later["id"].as_str().expect("an id"));
    api.until(&path, &stranger, |answer| answer.body["status"] == "SCHEDULED").await;
    let change = json!({"payload": {"to": "a@example.com", "from": "sales@acme.example"}});
    api.call(Method::PATCH, &path, Some(&stranger), Some(&change)).await.expect(422);
    let many =
        json!({"userId": "u", "channel": "EMAIL", "type": "SYSTEM", "payload": {"to": ["a@b.c", "d@e.f"]}});
    assert_eq!(send(&stranger, many).await.expect(422)["errors"][0]["pointer"], "/payload/to");
}

pub(super) async fn dead_letters_are_looked_at_and_sent_again(api: &Api) {
    let mail = json!({"userId": "dead", "tenantId": "dead", "channel": "SMS", "type": "ALERT", "payload": {"to": "1", "body": "b"}});
    let mails: Vec<_> = (0..60).map(|_| mail.clone()).collect();
    api.post("/notifications/batch", &json!({ "notifications": mails })).await.expect(200);
    let list = "/dlq?tenantId=dead&channel=SMS&limit=200";
    let first = api.until(list, &api.admin, |answer| answer.body["data"][0]["id"].is_number()).await;
    let letter = api.get(&format!("/dlq/{}", first["data"][0]["id"])).await.expect(200);
    assert_eq!((&letter["reason"], &letter["message"]["payload"]["to"]), (&json!("exhausted"), &json!("1")));
    let failed = letter["notificationId"].as_str().expect("an id").to_owned();
    assert_eq!(api.get(&format!("/notifications/{failed}")).await.expect(200)["status"], "FAILED");
    let ending = api.get(&format!("/notifications/{failed}/events")).await.expect(200)["data"][1].clone();
    assert_eq!(ending["status"], "FAILED", "{ending}");

    let filter = json!({"tenantId": "dead"});
    let dry = api.post("/dlq/redrive", &json!({"filter": filter, "dry_run": true})).await.expect(200);
    let matched = dry["matched"].as_u64().expect("a count");
    assert!(matched > 0 && dry["done"] == 0, "{dry}");
    let done = api.post("/dlq/redrive", &json!({"filter": filter, "rate": 1_000})).await.expect(200);
    assert!(done["done"].as_u64() >= Some(matched), "{done}");
    let again = format!("/notifications/{failed}/events");
    let events = api
        .until(&again, &api.admin, |answer| {
            let events = answer.body["data"].as_array().cloned().unwrap_or_default();
            events.len() >= 4
                && events.last().is_some_and(|last| last["status"] == "SENT" || last["status"] == "FAILED")
        })
        .await;
    // Who followed events has had it, under this number.
    assert_eq!(events["data"][1], ending, "{events}");
    api.post("/dlq/redrive", &json!({"filter": filter, "rate": 0})).await.expect(422);
    let purged = api.call(Method::DELETE, "/dlq?tenantId=dead", Some(&api.admin), None).await.expect(200);
    assert!(purged["done"].as_u64() > Some(0), "{purged}");
    let acts = api.get("/admin/audit?action=dead_letter.purge").await.expect(200);
    let act = &acts["data"][0];
    assert_eq!((&act["actor"], &act["tenantId"]), (&json!("loadtest@example.com"), &json!("dead")));
    assert_eq!(act["detail"]["done"], purged["done"]);
    let lag = api.get("/admin/lag").await.expect(200);
    assert!(
        lag["group"] == "notification-workers" && !lag["partitions"].as_array().unwrap().is_empty(),
        "{lag}"
    );
    let stats = api.get("/admin/stats").await.expect(200);
    assert!(stats["notifications"]["SENT"].as_u64() > Some(0), "{stats}");
}
