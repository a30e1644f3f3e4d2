//! The runtime that the driver runs on: tokio where one is current, else the one that smol starts.

/// Checks that the driver has a runtime here. The driver starts smol's where no runtime is current.
#[cfg(feature = "smol")]
pub(crate) fn check() -> Result<(), midplane_core::bus::BusError> {
    Ok(())
}

/// Checks that the driver has a runtime here, which without the feature `smol` is only tokio's.
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
