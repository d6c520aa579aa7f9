//! A response that may stay open for hours: it holds its permit while it lasts, and ends with its credential.

use crate::auth::{Assurance, Principal};
use crate::http::app::App;
use crate::http::app::concurrency::OwnedPermit;
use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the credential of an open stream is rechecked.
const RECHECK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a stream has for its own last words once its credential has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Notified when the credential of a stream has ended, so that the stream can say so.
#[derive(Clone, Default)]
pub(crate) struct Session(CancellationToken);

impl Session {
    /// Resolves when the credential is no longer valid.
    pub(crate) async fn ended(&self) {
        self.0.cancelled().await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.remove().unwrap_or_default())
    }
}

/// What a stream is held to while it is open.
pub(super) struct StreamGuard {
    app: Arc<App>,
    permit: OwnedPermit,
    caller: Arc<Principal>,
    credential: String,
    session: Session,
}

impl StreamGuard {
    pub(super) fn new(permit: OwnedPermit, caller: Arc<Principal>, credential: &str, app: &Arc<App>) -> Self {
        let (app, credential) = (Arc::clone(app), credential.to_owned());
        Self { app, permit, caller, credential, session: Session::default() }
    }

    /// What the handler listens to.
    pub(super) fn session(&self) -> Session {
        self.session.clone()
    }

    /// Makes the body of an answer hold its permit, and end with the caller's credential.
    pub(super) fn over(self, answer: Response) -> Response {
        let Self { app, permit, caller, credential, session } = self;
        let end = async move {
            until_ended(&app, &caller, &credential).await;
            session.0.cancel();
            tokio::time::sleep(LAST_WORDS).await;
        };
        answer.map(|body| Body::new(GuardedBody { body, end: Box::pin(end), _permit: permit }))
    }
}

/// Resolves when the credential does not stand any more for who it stood for.
async fn until_ended(app: &App, caller: &Principal, credential: &str) {
    loop {
        tokio::time::sleep(RECHECK_INTERVAL.min(left(caller))).await;
        match app.auth.authenticate(&app.parts.db, credential, Assurance::Lately).await {
            Ok(now) if now.role == caller.role && now.tenant == caller.tenant => {}
            // Other rights, no rights, or nobody who could tell.
            Ok(_) | Err(_) => return,
        }
    }
}

/// The time until the credential expires by itself.
fn left(caller: &Principal) -> Duration {
    let Some(at) = caller.expires_at_s else { return Duration::MAX };
    let seconds = at.saturating_sub(crate::clock::now().as_second());
    // A moment later it is over for certain.
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) + Duration::from_millis(50)
}

struct GuardedBody {
    body: Body,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    _permit: OwnedPermit,
}

impl HttpBody for GuardedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.end.as_mut().poll(context).is_ready() {
            // The body breaks off, so that nobody takes it for whole.
            return Poll::Ready(Some(Err(axum::Error::new("the credential is no longer valid"))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
