//! Bodies of messages: streamed, or held when they are small and understood.

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, LengthLimitError, Limited};
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

/// Why a body broke off
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of any message
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body of these bytes
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// No body
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that passes through
pub(crate) fn stream<B>(body: B) -> Body
where
    B: HttpBody<Data = Bytes, Error: Into<BodyError>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}

/// Reads all of a body, up to a limit in bytes
pub(crate) async fn hold<B>(body: B, limit: usize) -> Result<Bytes, HoldError>
where
    B: HttpBody<Data = Bytes, Error: Into<BodyError>>,
{
    // What says that it is too large need not come first.
    if body.size_hint().lower() > limit as u64 {
        return Err(HoldError::TooLarge { limit });
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(HoldError::TooLarge { limit }),
        Err(error) => Err(HoldError::Broken(error)),
    }
}

/// A body could not be read to its end
#[derive(Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// It is larger than what is held
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit
        limit: usize,
    },
    /// It broke off
    #[error("the body broke off")]
    Broken(#[source] BodyError),
}

/// An answer in the form of Docker's errors
pub(crate) fn failure(status: StatusCode, message: &str) -> Response<Body> {
    json(status, serde_json::json!({ "message": message }).to_string())
}

/// An answer of JSON
pub(crate) fn json(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An error and what caused it, in one line
pub(crate) fn line(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut text = String::new();
    for cause in causes.map(ToString::to_string) {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text.replace(['\n', '\r'], " ")
}
