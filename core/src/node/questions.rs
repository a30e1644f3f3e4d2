//! The questions this node asked, until they are answered or their deadline has passed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Node;
use super::news::News;
use crate::bus::Lane;
use crate::envelope::Message;
use crate::node_id::NodeId;
use crate::question::{Answer, Question};
use crate::receipt::Refusal;
use crate::target::Scope;
use crate::time::Instant;

/// The most questions that wait for answers at once.
const OPEN: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Questions {
    last: u64,
    open: BTreeMap<u64, OpenQuestion>,
}

#[derive(Debug)]
struct OpenQuestion {
    until: Instant,
    /// Members that did not answer yet.
    waiting: BTreeSet<NodeId>,
    answers: Vec<(NodeId, Answer)>,
    live: bool,
}

impl Node {
    /// Asks every other node. [`News::Answered`] with the number given here follows when every member has
    /// answered, at once if there is none, and at `until` at the latest.
    ///
    /// # Errors
    /// When it will not be sent; nothing is asked.
    pub fn ask(
        &mut self,
        now: Instant,
        until: Instant,
        scope: &Scope,
        question: &Question,
    ) -> Result<u64, Refusal> {
        if self.questions.open.len() >= OPEN {
            return Err(Refusal::Full);
        }
        let id = self.questions.last + 1;
        let message = Message::Question {
            id,
            scope: scope.clone(),
            question: question.clone(),
        };
        // What is published is not to overtake what was published before: it goes with the events.
        match question {
            Question::Publish(..) => self.enqueue(self.intake.message(now, Lane(0), &message)?),
            _ => self.enqueue_control(now, &message)?,
        }
        self.questions.last = id;
        let open = OpenQuestion {
            until,
            waiting: self.members().map(|(node, _)| node).collect(),
            answers: Vec::new(),
            live: self.is_live() && !self.reception.beyond.is_heard(),
        };
        self.questions.open.insert(id, open);
        self.close_questions(now);
        Ok(id)
    }

    /// Answers a [`News::Asked`].
    ///
    /// # Errors
    /// When it will not be sent, as when 4,096 messages wait already; the asker will count this node as silent.
    pub fn answer(
        &mut self,
        now: Instant,
        to: NodeId,
        id: u64,
        answer: Answer,
    ) -> Result<(), Refusal> {
        let message = Message::Answer { to, id, answer };
        self.enqueue_control(now, &message)
    }

    pub(super) fn receive_answer(&mut self, now: Instant, from: NodeId, id: u64, answer: Answer) {
        let Some(open) = self.questions.open.get_mut(&id) else {
            return;
        };
        // One that came meanwhile counts too, each once.
        if open.waiting.remove(&from) || open.answers.iter().all(|(node, _)| *node != from) {
            open.answers.push((from, answer));
        }
        self.close_questions(now);
    }

    /// A node that has left has no connections.
    pub(super) fn forget_answers_of(&mut self, now: Instant, from: NodeId) {
        for open in self.questions.open.values_mut() {
            open.waiting.remove(&from);
        }
        self.close_questions(now);
    }

    /// From here on there may be members we do not know of.
    pub(super) fn mark_incomplete(&mut self) {
        for open in self.questions.open.values_mut() {
            open.live = false;
        }
    }

    /// Reports the answers to the questions that every member has answered, or whose deadline has passed.
    pub(super) fn close_questions(&mut self, now: Instant) {
        let done = |open: &OpenQuestion| open.waiting.is_empty() || open.until <= now;
        let all = self.questions.open.iter();
        let closed: Vec<u64> = all
            .filter(|(_, open)| done(open))
            .map(|(id, _)| *id)
            .collect();
        for id in closed {
            if let Some(open) = self.questions.open.remove(&id) {
                self.reception.news.push(News::Answered {
                    id,
                    answers: open.answers,
                    silent: open.waiting.into_iter().collect(),
                    live: open.live,
                });
            }
        }
    }

    /// When the deadline of the next question passes.
    pub(super) fn questions_due(&self) -> Option<Instant> {
        self.questions.open.values().map(|open| open.until).min()
    }
}
