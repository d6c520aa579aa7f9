//! The service's API as an operator uses it, on top of the HTTP client. Names no driver.

use super::http::{self, HttpMethod, HttpResponse};
use crate::error::{Error, ErrorKind, Result};
use crate::permit::ChangePermit;
use nsys_contract::api::{
    AccountUpdate, CreateNotification, DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterQuery,
    ExportQuery, Login, NewAccount, Notification, Redrive, RedriveAnswer, TokenGrant, User, UserPage,
    UserQuery, paths,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(15);
/// Largest page that the API gives.
const PAGE: u32 = 200;

/// The API, called with one account's token.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    token: String,
}

/// Signs an account in.
///
/// # Errors
/// When the API does not answer, or refuses the password.
pub async fn sign_in(base: &str, email: &str, password: &str) -> Result<TokenGrant> {
    let login = Login { email: email.to_owned(), password: password.to_owned() };
    let answer = http::post(&format!("{base}{}", paths::LOGIN), &login, TIMEOUT).await?;
    if answer.status == 401 {
        return Err(Error::refused(format!("{email} cannot sign in with this password")));
    }
    read(paths::LOGIN, answer)
}

impl Api {
    /// The API at `base`, with a token.
    #[must_use]
    pub fn new(base: String, token: String) -> Self {
        Self { base, token }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: HttpMethod,
        path: &str,
        query: &(impl Serialize + Sync),
        body: Option<serde_json::Value>,
    ) -> Result<T> {
        let url = format!("{}{path}", self.base);
        read(path, http::call(method, &url, &self.token, query, body, TIMEOUT).await?)
    }

    async fn send_body<T: DeserializeOwned>(
        &self,
        method: HttpMethod,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        let body = serde_json::to_value(body)
            .map_err(|cause| Error::failed(format!("cannot write a request: {cause}")))?;
        self.ask(method, path, &(), Some(body)).await
    }

    /// Creates one notification.
    ///
    /// # Errors
    /// When the API refuses it.
    pub async fn create_notification(
        &self,
        _permit: &ChangePermit,
        new: &CreateNotification,
    ) -> Result<Notification> {
        self.send_body(HttpMethod::Post, paths::NOTIFICATIONS, new).await
    }

    /// Creates a notification whose request carries these headers. Answers with its id.
    ///
    /// # Errors
    /// When the API does not answer 201 with an id.
    pub async fn create_traced(
        &self,
        _permit: &ChangePermit,
        headers: &[(&str, &str)],
        body: &(impl Serialize + Sync),
        timeout: Duration,
    ) -> Result<Uuid> {
        let url = format!("{}{}", self.base, paths::NOTIFICATIONS);
        let answer = http::post_as(&url, &self.token, headers, body, timeout).await?;
        if answer.status != 201 {
            return Err(Error::failed(format!("{url} answers {}: {}", answer.status, answer.body)));
        }
        let id = answer.body["id"].as_str().and_then(|text| text.parse().ok());
        id.ok_or_else(|| Error::failed(format!("{url} answers without an id: {}", answer.body)))
    }

    /// One notification.
    ///
    /// # Errors
    /// When there is none, or the API does not answer.
    pub async fn notification(&self, id: Uuid) -> Result<Notification> {
        self.ask(HttpMethod::Get, &paths::one(paths::NOTIFICATION, id), &(), None).await
    }

    /// Streams every matching notification to `take`, as it comes.
    ///
    /// # Errors
    /// When the API refuses or breaks off, or `take` fails.
    pub async fn export(&self, query: &ExportQuery, take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let url = format!("{}{}", self.base, paths::NOTIFICATIONS_EXPORT);
        http::download(&url, &self.token, query, take).await
    }

    /// Accounts, page by page, at most `limit`.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn users(&self, mut query: UserQuery, limit: usize) -> Result<Vec<User>> {
        let mut found = Vec::new();
        query.limit = Some(PAGE);
        loop {
            let page: UserPage = self.ask(HttpMethod::Get, paths::ADMIN_USERS, &query, None).await?;
            found.extend(page.data);
            query.cursor = page.next_cursor.filter(|_| page.has_more && found.len() < limit);
            if query.cursor.is_none() {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// The account with this address, if there is one.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn user(&self, email: &str) -> Result<Option<User>> {
        let query = UserQuery { email: Some(email.to_owned()), ..UserQuery::default() };
        Ok(self.users(query, 1).await?.pop())
    }

    /// Creates an account.
    ///
    /// # Errors
    /// When the API refuses, for instance because the address is taken.
    pub async fn create_account(&self, _permit: &ChangePermit, new: &NewAccount) -> Result<User> {
        self.send_body(HttpMethod::Post, paths::ADMIN_USERS, new).await
    }

    /// Changes an account.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn update_account(
        &self,
        _permit: &ChangePermit,
        id: Uuid,
        update: &AccountUpdate,
    ) -> Result<User> {
        self.send_body(HttpMethod::Patch, &paths::one(paths::ADMIN_USER, id), update).await
    }

    /// Dead letters, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn dead_letters(&self, mut query: DeadLetterQuery, limit: usize) -> Result<Vec<DeadLetter>> {
        let mut found = Vec::new();
        query.limit = Some(PAGE.min(u32::try_from(limit).unwrap_or(PAGE)).max(1));
        loop {
            let page: DeadLetterPage = self.ask(HttpMethod::Get, paths::DEAD_LETTERS, &query, None).await?;
            found.extend(page.data);
            query.cursor = page.next_cursor.filter(|_| page.has_more && found.len() < limit);
            if query.cursor.is_none() {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// One dead letter with its message.
    ///
    /// # Errors
    /// When there is none.
    pub async fn dead_letter(&self, id: i64) -> Result<DeadLetter> {
        self.ask(HttpMethod::Get, &paths::one(paths::DEAD_LETTER, id), &(), None).await
    }

    /// Counts the dead letters that [`Api::redrive`] would send again.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn count_redrive(&self, filter: DeadLetterFilter) -> Result<RedriveAnswer> {
        let counted = Redrive { filter, dry_run: true, ..Redrive::default() };
        self.send_body(HttpMethod::Post, paths::DEAD_LETTERS_REDRIVE, &counted).await
    }

    /// Sends dead letters again.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn redrive(&self, _permit: &ChangePermit, redrive: &Redrive) -> Result<RedriveAnswer> {
        self.send_body(HttpMethod::Post, paths::DEAD_LETTERS_REDRIVE, redrive).await
    }

    /// Counts the dead letters that [`Api::purge`] would delete.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn count_purge(&self, query: DeadLetterQuery) -> Result<RedriveAnswer> {
        let counted = DeadLetterQuery { dry_run: Some(true), ..query };
        self.ask(HttpMethod::Delete, paths::DEAD_LETTERS, &counted, None).await
    }

    /// Deletes dead letters.
    ///
    /// # Errors
    /// When the API refuses.
    pub async fn purge(&self, _permit: &ChangePermit, query: &DeadLetterQuery) -> Result<RedriveAnswer> {
        self.ask(HttpMethod::Delete, paths::DEAD_LETTERS, query, None).await
    }
}

/// Reads an answer, or says what the service said.
fn read<T: DeserializeOwned>(path: &str, answer: HttpResponse) -> Result<T> {
    if (200..300).contains(&answer.status) {
        return serde_json::from_value(answer.body)
            .map_err(|cause| Error::failed(format!("{path} answered something unexpected: {cause}")));
    }
    Err(refusal(path, &answer))
}

/// What a problem document says, fields included.
fn refusal(path: &str, answer: &HttpResponse) -> Error {
    let text = |name: &str| answer.body[name].as_str().map(str::to_owned);
    let said = text("detail").or_else(|| text("title")).unwrap_or_else(|| answer.body.to_string());
    let fields = answer.body["errors"].as_array().into_iter().flatten();
    let fields: String = fields
        .filter_map(|field| {
            Some(format!("\n  {}: {}", field["pointer"].as_str()?, field["detail"].as_str()?))
        })
        .collect();
    let kind = match answer.status {
        400 | 404 | 409 | 413 | 415 | 422 => ErrorKind::Usage,
        401 | 403 => ErrorKind::Refused,
        502..=504 => ErrorKind::Unreachable,
        _ => ErrorKind::Failed,
    };
    Error::new(kind, format!("{path} answered {}: {said}{fields}", answer.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_tells_what_the_service_said_and_of_which_field() {
        let answer = HttpResponse {
            status: 422,
            body: json!({"title": "Unprocessable", "detail": "the request is not valid",
                "errors": [{"pointer": "/userId", "detail": "must not be empty"}]}),
        };
        let error = refusal("/notifications", &answer);
        assert_eq!(error.kind, ErrorKind::Usage);
        assert!(error.message.ends_with("not valid\n  /userId: must not be empty"), "{}", error.message);
        let away = HttpResponse { status: 503, body: json!("busy") };
        assert_eq!(refusal("/dlq", &away).kind, ErrorKind::Unreachable);
    }
}
