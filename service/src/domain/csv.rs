//! Notifications as lines of CSV (RFC 4180). Pure.

use nsys_contract::api::Notification;

/// The first line.
pub(crate) const HEADER: &str = "id,userId,tenantId,channel,type,priority,status,scheduledFor,createdAt,updatedAt,\
correlationId,idempotencyKey,expiresAt\r\n";

/// One notification, in the order of [`HEADER`].
pub(crate) fn line(into: &mut String, shown: &Notification) {
    let instant = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let fields = [
        shown.id.to_string(),
        shown.user_id.clone(),
        shown.tenant_id.clone().unwrap_or_default(),
        shown.channel.to_string(),
        shown.kind.to_string(),
        shown.priority.to_string(),
        shown.status.to_string(),
        instant(shown.scheduled_for),
        shown.created_at.to_string(),
        shown.updated_at.to_string(),
        shown.correlation_id.clone().unwrap_or_default(),
        shown.idempotency_key.clone().unwrap_or_default(),
        instant(shown.expires_at),
    ];
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        quoted(into, field);
    }
    into.push_str("\r\n");
}

/// A row that cannot be read: its id, and in place of its status what is wrong with it.
pub(crate) fn unreadable(into: &mut String, id: &str, error: &str) {
    into.push_str(id);
    into.push_str(",,,,,,");
    quoted(into, &format!("UNREADABLE: {error}"));
    into.push_str(",,,,,,\r\n");
}

/// What a spreadsheet takes for a formula when a field begins with it.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Writes a field. One that a spreadsheet would run is marked as text by an apostrophe before it, which
/// spreadsheets do not show.
fn quoted(into: &mut String, field: &str) {
    let mark = if field.starts_with(FORMULA) { "'" } else { "" };
    if mark.is_empty() && !field.contains([',', '"', '\r', '\n']) {
        into.push_str(field);
        return;
    }
    into.push('"');
    into.push_str(mark);
    into.push_str(&field.replace('"', "\"\""));
    into.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_it_is_quoted() {
        let mut text = String::new();
        for field in ["plain", "a,b", "say \"hi\"", "two\nlines", ""] {
            quoted(&mut text, field);
            text.push(';');
        }
        assert_eq!(text, "plain;\"a,b\";\"say \"\"hi\"\"\";\"two\nlines\";;");
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        for formula in ["=cmd|' /C calc'!A0", "+1+1", "-2", "@SUM(A1)", "\t=1", "\r=1"] {
            let mut text = String::new();
            quoted(&mut text, formula);
            assert!(text.starts_with("\"'") && text[2..].starts_with(&formula[..1]), "{text:?}");
        }
        let mut text = String::new();
        for plain in ["a=b", "1-2", "user@example.com"] {
            quoted(&mut text, plain);
        }
        assert_eq!(text, "a=b1-2user@example.com");
    }

    #[test]
    fn a_row_that_cannot_be_read_has_a_line() {
        let mut text = String::new();
        unreadable(&mut text, "7", "a, b");
        assert_eq!(text, "7,,,,,,\"UNREADABLE: a, b\",,,,,,\r\n");
        assert_eq!(text.matches(',').count() - 1, HEADER.matches(',').count());
    }

    #[test]
    fn a_line_has_a_field_for_each_of_the_header() {
        let shown: Notification = serde_json::from_value(serde_json::json!({
            "id": "0190163d-8694-739b-aea5-966c26f8ad91", "userId": "u", "tenantId": null, "channel": "SMS",
            "type": "ALERT", "priority": "LOW", "status": "SENT", "scheduledFor": null,
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:01Z", "correlationId": null,
            "idempotencyKey": "k"}))
        .unwrap();
        let mut text = String::new();
        line(&mut text, &shown);
        assert_eq!(text.matches(',').count(), HEADER.matches(',').count());
        assert!(text.starts_with(
            "0190163d-8694-739b-aea5-966c26f8ad91,u,,SMS,ALERT,LOW,SENT,,2026-01-01T00:00:00Z,"
        ));
    }
}
