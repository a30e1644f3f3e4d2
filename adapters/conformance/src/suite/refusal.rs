//! What the errors of a refused bus say, and what they do not show.

use std::sync::Arc;

use midplane::bus::BusErrorKind;
use midplane_testkit::error::shown;

use super::{BusFixture, RefusedBus, refusal};

/// [`BusErrorKind::Denied`]: "the server refused the credentials", and no secret is shown.
pub(crate) async fn wrong_credentials_are_denied(fixture: Arc<dyn BusFixture>) {
    if let Some(bus) = fixture.wrong_credentials() {
        is_refused(&bus, BusErrorKind::Denied).await;
    }
}

/// [`BusErrorKind::Unreachable`], and the message says with which setting.
pub(crate) async fn a_wrong_address_is_unreachable(fixture: Arc<dyn BusFixture>) {
    if let Some(bus) = fixture.wrong_address() {
        is_refused(&bus, BusErrorKind::Unreachable).await;
    }
}

async fn is_refused(refused: &RefusedBus, kind: BusErrorKind) {
    let error = refusal(&*refused.bus).await;
    assert_eq!(error.kind(), kind, "{error}");
    let message = error.to_string();
    assert!(
        message.contains(&refused.names),
        "{message:?} does not name {:?}",
        refused.names
    );
    let text = format!("{:?} {}", refused.bus, shown(&error));
    for secret in &refused.secrets {
        assert!(!text.contains(secret.as_str()), "a secret is shown: {text}");
    }
}
