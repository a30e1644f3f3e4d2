//! What a million and a hundred million connections would take: arithmetic on what the other parts measured,
//! written to `SCALE.md`.

mod constants;
mod load;
mod page;

use std::io;

use constants::Constants;

use crate::report::Report;

/// The page, beside the report.
const PAGE: &str = "SCALE.md";

pub(crate) fn run(report: &mut Report) -> io::Result<()> {
    match Constants::read(report) {
        Ok(constants) => {
            report.page(PAGE, &page::write(&constants))?;
            report.say(format!(
                "[{PAGE}]({PAGE}) is computed from what the other parts measured."
            ));
        }
        Err(missing) => report.say(format!(
            "[{PAGE}]({PAGE}) is as it was: {missing} is not measured."
        )),
    }
    Ok(())
}
