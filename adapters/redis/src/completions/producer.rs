//! `Producer` for `RedisStore`: records that executions start and finish.

use async_trait::async_trait;
use bytes::Bytes;
use midplane_completions::{Change, Execution, ExecutionId, Outcome, ProduceError, Producer};
use redis::{Arg, Cmd};

use super::connection::CallError;
use super::error::unexpected_answer;
use super::{RedisStore, library, reply};

impl RedisStore {
    /// The arguments of the command that finishes an execution, to send between a `MULTI` and an `EXEC` of one's own, by
    /// any driver. The functions of the store must be [installed](Self::install).
    ///
    /// Redis answers 1 when this command finished the execution, 0 when it had finished with the same outcome and bytes
    /// before, and with an error that changes nothing when it is unknown, finished otherwise, or unfit; the other commands
    /// of the transaction take effect all the same.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use midplane_core::Timer;
    /// use midplane_completions::{ExecutionId, Outcome};
    /// # use midplane_redis::{Redis, RedisStore};
    /// # fn words(timer: Arc<dyn Timer>) -> Result<(), Box<dyn std::error::Error>> {
    /// let store = RedisStore::new(&Redis::new("redis://localhost")?, timer);
    /// let words = store.finishing(&ExecutionId::new("job")?, &Outcome::Success, None)?;
    /// assert_eq!(words[..2], ["FCALL", "midplane_complete_4"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ProduceError::Unfit`] when the outcome is none of [`Outcome::KNOWN`].
    pub fn finishing(
        &self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<&[u8]>,
    ) -> Result<Vec<Bytes>, ProduceError> {
        let call = self.finish_call(execution, outcome, bytes)?;
        let words = call.args_iter().map(|word| match word {
            Arg::Simple(word) => Bytes::copy_from_slice(word),
            // The call of a function has simple arguments alone.
            _ => Bytes::new(),
        });
        Ok(words.collect())
    }

    fn finish_call(
        &self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<&[u8]>,
    ) -> Result<Cmd, ProduceError> {
        let function = match outcome {
            Outcome::Success => "complete",
            Outcome::Failure => "fail",
            Outcome::Cancelled => "cancel",
            Outcome::Expired => "expire",
            Outcome::Skipped => "skip",
            other => {
                let why =
                    format!("an execution cannot be finished with the unknown outcome {other}");
                return Err(ProduceError::Unfit(why));
            }
        };
        let mut call = self.shared.keys.call(function);
        call.arg(execution.as_str());
        if let Some(bytes) = bytes {
            call.arg(bytes);
        }
        Ok(call)
    }

    /// Sends the call of a function, and reads what changed from its answer.
    async fn send_change(
        &self,
        operation: &str,
        execution: &ExecutionId,
        asked: &str,
        call: &Cmd,
    ) -> Result<Change, ProduceError> {
        let answer = self.shared.call(operation, call).await;
        let answer = answer.map_err(|error| match error {
            CallError::Refused(code, _) if code == library::UNKNOWN => {
                ProduceError::Unknown(execution.clone())
            }
            // The text of this refusal begins with the outcome and a colon.
            CallError::Refused(code, text) if code == library::ILLEGAL => ProduceError::Illegal {
                execution: execution.clone(),
                finished: Outcome::from(text.split(':').next().unwrap_or_default()),
                asked: asked.to_owned(),
            },
            CallError::Refused(code, text) if code == library::UNFIT => ProduceError::Unfit(text),
            error => ProduceError::Backend(error.into()),
        })?;
        match reply::number(&answer) {
            Some(1) => Ok(Change::Made),
            Some(0) => Ok(Change::AlreadySo),
            _ => Err(unexpected_answer(operation).into()),
        }
    }
}

#[async_trait]
impl Producer for RedisStore {
    async fn start(&self, execution: &Execution) -> Result<Change, ProduceError> {
        let mut call = self.shared.keys.call("start");
        call.arg(execution.id.as_str())
            .arg(execution.flow.as_ref().map_or("", |flow| flow.as_str()))
            .arg(
                execution
                    .namespace
                    .as_ref()
                    .map_or("", |name| name.as_str()),
            )
            .arg(execution.tag.as_ref().map_or("", |tag| tag.as_str()));
        self.send_change("start an execution", &execution.id, "started", &call)
            .await
    }

    async fn finish(
        &self,
        execution: &ExecutionId,
        outcome: &Outcome,
        bytes: Option<Bytes>,
    ) -> Result<Change, ProduceError> {
        let call = self.finish_call(execution, outcome, bytes.as_deref())?;
        self.send_change("finish an execution", execution, outcome.as_str(), &call)
            .await
    }
}
