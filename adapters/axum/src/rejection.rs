//! Errors of midplane as answers, and readiness.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use midplane::{Error, IdError, Plane, Refusal};

/// What a handler returns that passes on midplane's errors with `?`.
pub type Result<T = Response, E = Rejection> = std::result::Result<T, E>;

/// An error of midplane as an answer: 400 for what is no id, no event or no JSON, 409 for an association that is refused,
/// 413 for an event that is too large, and 503 for the rest.
#[derive(Debug)]
pub struct Rejection(Error);

impl<E: Into<Error>> From<E> for Rejection {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let code = match &self.0 {
            Error::Id(_) | Error::Json(_) | Error::NotUtf8(_) => StatusCode::BAD_REQUEST,
            Error::Associate(_) => StatusCode::CONFLICT,
            Error::Refused(Refusal::TooLarge(_) | Refusal::TooMany(_)) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        // What failed between nodes is the operators' to read.
        let text = match code {
            StatusCode::SERVICE_UNAVAILABLE => "not available".to_owned(),
            _ => self.0.to_string(),
        };
        (code, text).into_response()
    }
}

const _: fn(IdError) -> Rejection = Rejection::from;

/// The handler of a readiness check: 200 while the plane is live and not draining.
pub async fn readyz(State(plane): State<Plane>) -> (StatusCode, &'static str) {
    match plane.is_ready() {
        true => (StatusCode::OK, "ready"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    }
}
