//! The answer of this process to a question about its connections.

use alloc::vec::Vec;

use hashbrown::HashSet;

use super::Registry;
use super::attachment::Membership;
use super::connection::{Member, address};
use super::end::ConnectionEnd;
use crate::audience::Audience;
use crate::host::Host;
use crate::question::{Answer, Question};
use crate::target::Scope;

impl<H: Host> Registry<H> {
    /// Does what the question asks with the connections of this process, and returns what came of it.
    pub fn answer(&self, scope: &Scope, question: &Question) -> Answer {
        let change: &dyn Fn(&Member) -> bool = match question {
            Question::Publish(audience, event) => {
                return Answer::Delivered(self.deliver(scope, audience, event));
            }
            Question::Count(_) => &|_| true,
            Question::Disconnect(_) => &|member| self.expel(member, ConnectionEnd::Disconnected),
            Question::Associate(_, target) => {
                &|member| self.associate(scope, member, target).is_ok()
            }
            Question::Dissociate(_, target) => &|member| self.dissociate(scope, member, target),
        };
        let members = self.resolve(scope, question.audience());
        let changed = members.iter().filter(|member| change(member)).count();
        self.dispose(members);
        Answer::Connections(changed)
    }

    /// The connections of the audience, each once.
    fn resolve(&self, scope: &Scope, audience: &Audience) -> Vec<Member> {
        let snapshots = self.snapshots(scope, audience);
        let mut seen: HashSet<usize> = self.excluded(scope, audience).collect();
        let members = snapshots
            .iter()
            .flat_map(|members| members.slices().flatten())
            .filter(|member| !member.is_closed() && seen.insert(address(member)))
            .cloned()
            .collect();
        self.dispose(snapshots);
        members
    }
}
