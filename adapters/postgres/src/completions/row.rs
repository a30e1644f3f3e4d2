//! Rows as completions.

use bytes::Bytes;
use midplane_completions::{Completion, Cursor, ExecutionId, Outcome, Timestamp};
use midplane_core::IdError;

use super::statements::StatementRow;

/// The completion in a row, or why there is none. The server's procedures return these columns.
pub(super) fn completion(row: &dyn StatementRow, place: Cursor) -> Result<Completion, String> {
    let named = row.text("execution").unwrap_or_default();
    let outcome = row.text("outcome").ok_or_else(|| {
        format!("the outbox names {named:?}, and no execution of this id has finished")
    })?;
    let execution = ExecutionId::new(named).map_err(|error| unreadable("execution", &error))?;
    let finished_at = row.number("finished_at");
    let micros = finished_at.and_then(|micros| u64::try_from(micros).ok());
    let produced_at = Timestamp::from_micros(micros.unwrap_or_default());
    let mut completion =
        Completion::new(execution, Outcome::from(outcome), produced_at).with_cursor(place);
    completion.bytes = row.bytes("bytes").map(Bytes::copy_from_slice);
    completion.flow = id(row, "flow")?;
    completion.namespace = id(row, "namespace")?;
    completion.tag = id(row, "tag")?;
    Ok(completion)
}

fn id<T: std::str::FromStr<Err = IdError>>(
    row: &dyn StatementRow,
    column: &str,
) -> Result<Option<T>, String> {
    row.text(column)
        .map(str::parse)
        .transpose()
        .map_err(|error| unreadable(column, &error))
}

fn unreadable(column: &str, error: &IdError) -> String {
    format!("the {column} cannot be read: {error}")
}
