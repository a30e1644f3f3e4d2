//! The questions of this node's handles that wait for the answers of other nodes.

use alloc::collections::BTreeMap;

use futures::channel::oneshot;

use crate::cluster::outgoing::Answered;
use crate::receipt::Refusal;

/// The calls that wait for the answers to each question, by the question's number.
#[derive(Default)]
pub(super) struct OpenQuestions(BTreeMap<u64, Asker>);

pub(super) type Asker = oneshot::Sender<Result<Answered, Refusal>>;

impl OpenQuestions {
    /// The node has asked under this number, or refused to.
    pub(super) fn asked(&mut self, outcome: Result<u64, Refusal>, asker: Asker) {
        match outcome {
            Ok(id) => {
                self.0.insert(id, asker);
            }
            Err(refusal) => {
                let _ = asker.send(Err(refusal));
            }
        }
    }

    /// The question with this number is answered, as far as it will be.
    pub(super) fn answered(&mut self, id: u64, answered: Answered) {
        if let Some(asker) = self.0.remove(&id) {
            let _ = asker.send(Ok(answered));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_once_and_a_refused_one_at_once() {
        let mut questions = OpenQuestions::default();
        let (asker, mut refused) = oneshot::channel();
        questions.asked(Err(Refusal::Full), asker);
        assert_eq!(refused.try_recv(), Ok(Some(Err(Refusal::Full))));
        let (asker, mut first) = oneshot::channel();
        questions.asked(Ok(1), asker);
        let (asker, mut second) = oneshot::channel();
        questions.asked(Ok(2), asker);
        questions.answered(2, Answered::default());
        questions.answered(2, Answered::default());
        assert_eq!(second.try_recv(), Ok(Some(Ok(Answered::default()))));
        assert_eq!(first.try_recv(), Ok(None));
    }
}
