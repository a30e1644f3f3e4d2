//! The runtime that the driver runs on: tokio where one is current, else the one that smol starts.

/// That the driver has a runtime here. It starts smol's where none is current.
#[cfg(feature = "smol")]
pub(crate) fn check() -> Result<(), midplane_core::bus::BusError> {
    Ok(())
}

/// That the driver has a runtime here: without the feature `smol`, only tokio's.
#[cfg(all(feature = "tokio", not(feature = "smol")))]
pub(crate) fn check() -> Result<(), midplane_core::bus::BusError> {
    use midplane_core::bus::{BusError, BusErrorKind};

    match tokio::runtime::Handle::try_current() {
        Ok(_) => Ok(()),
        Err(error) => Err(BusError::new(
            BusErrorKind::Unreachable,
            "redis is connected to outside of a tokio runtime, and midplane-redis was compiled for tokio alone: connect \
             on a tokio runtime, or compile midplane-redis with its feature `smol`",
        )
        .caused_by(error)),
    }
}
