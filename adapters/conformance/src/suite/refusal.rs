//! How a bus says that it is not let in, and what it does not say.

use std::error::Error;
use std::sync::Arc;

use midplane::bus::BusErrorKind;

use super::{Fixture, Guarded};
use midplane_testkit::within;

/// [`BusErrorKind::Denied`]: "the server refused the credentials", and no secret is shown.
pub(crate) async fn wrong_credentials_are_denied(fixture: Arc<dyn Fixture>) {
    if let Some(intruder) = fixture.intruder() {
        refused(&intruder, BusErrorKind::Denied).await;
    }
}

/// [`BusErrorKind::Unreachable`], and the message says with which setting.
pub(crate) async fn a_wrong_address_is_unreachable(fixture: Arc<dyn Fixture>) {
    if let Some(nowhere) = fixture.nowhere() {
        refused(&nowhere, BusErrorKind::Unreachable).await;
    }
}

async fn refused(guarded: &Guarded, kind: BusErrorKind) {
    let refused = within("the refusal", guarded.bus.connect()).await;
    let error = refused.expect_err("it is not let in");
    assert_eq!(error.kind(), kind, "{error}");
    let message = error.to_string();
    assert!(
        message.contains(&guarded.names),
        "{message:?} does not name {:?}",
        guarded.names
    );
    let mut shown = vec![
        format!("{guarded:?}", guarded = guarded.bus),
        format!("{error:?}"),
        message,
    ];
    let mut source = error.source();
    while let Some(error) = source {
        shown.extend([error.to_string(), format!("{error:?}")]);
        source = error.source();
    }
    for text in shown {
        for secret in &guarded.secrets {
            assert!(!text.contains(secret.as_str()), "a secret is shown: {text}");
        }
    }
}
