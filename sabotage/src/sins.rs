//! The sins.

/// One edit that breaks one promise, and the test that must fail on it.
pub(crate) struct Sin {
    /// The promise by its number, and what is done to it.
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    /// The text in the file, there exactly once.
    pub(crate) sound: &'static str,
    /// What it is replaced by.
    pub(crate) broken: &'static str,
    pub(crate) package: &'static str,
    /// Which of the package's test programs: `--lib`, or `--test` and its name.
    pub(crate) suite: &'static [&'static str],
    /// The full name of the test.
    pub(crate) test: &'static str,
}

const CORE: &str = "midplane-core";
const LIB: &[&str] = &["--lib"];
const MODEL: &[&str] = &["--test", "model"];
const SCHEDULES: &[&str] = &["--test", "interleavings"];
const PROMISES: &[&str] = &["--test", "promises"];
const MEMORY: &[&str] = &["--test", "memory"];
const WIRE: &[&str] = &["--test", "wire"];

const FAN_OUT: &str = "core/src/registry/fan_out.rs";
const REGISTRY: &str = "core/src/registry/mod.rs";
const TABLE: &str = "core/src/registry/table.rs";
const MEMBERS: &str = "core/src/registry/members.rs";
const ATTACHMENT: &str = "core/src/attachment.rs";
const MAILBOX: &str = "core/src/mailbox/mod.rs";
const QUEUE: &str = "core/src/mailbox/queue.rs";
const ENVELOPE: &str = "core/src/envelope.rs";

pub(crate) const SINS: &[Sin] = &[
    Sin {
        name: "1: overlapping targets are not told apart",
        file: FAN_OUT,
        sound: "seen.insert(address(member))",
        broken: "seen.insert(address(member)) || true",
        package: CORE,
        suite: PROMISES,
        test: "promise_1_overlapping_targets_deliver_once",
    },
    Sin {
        name: "1: a replaced connection is closed too late",
        file: TABLE,
        sound: "entry.get().member.close();",
        broken: "",
        package: CORE,
        suite: SCHEDULES,
        test: "attaching::promise_1_an_event_reaches_an_id_once_while_it_is_replaced",
    },
    Sin {
        name: "1: a full chunk loses its upper half",
        file: MEMBERS,
        sound: "chunks.insert(which + 1, Arc::new(upper));",
        broken: "drop(upper);",
        package: CORE,
        suite: PROMISES,
        test: "promise_1_a_hundred_thousand_members_get_each_event_once",
    },
    Sin {
        name: "1: the member set takes a member twice",
        file: MEMBERS,
        sound: "let Err(at) = found else { return false };",
        broken: "let (Err(at) | Ok(at)) = found;",
        package: CORE,
        suite: LIB,
        test: "registry::members::tests::members_are_a_set_and_snapshots_stand_still",
    },
    Sin {
        name: "2: the awaited detach does not wait",
        file: ATTACHMENT,
        sound: "self.latch.poll_open(context)",
        broken: "{\n            let _ = self.latch.poll_open(context);\n            Poll::Ready(())\n        }",
        package: CORE,
        suite: SCHEDULES,
        test: "attaching::promise_2_no_call_runs_or_starts_once_a_detach_completed",
    },
    Sin {
        name: "2: what a replaced connection joined is kept",
        file: REGISTRY,
        sound: "        for key in &home.joined {\n            self.leave(key, &home.member);\n        }\n",
        broken: "",
        package: CORE,
        suite: PROMISES,
        test: "promise_2_nothing_is_inherited_and_nothing_left_behind",
    },
    Sin {
        name: "2: the awaited detach does not wait (threads)",
        file: ATTACHMENT,
        sound: "if self.registry.inside_sink() {",
        broken: "if self.registry.inside_sink() || true {",
        package: CORE,
        suite: PROMISES,
        test: "promise_2_no_call_outlives_an_awaited_detach",
    },
    Sin {
        name: "2: a detach waits inside a sink",
        file: ATTACHMENT,
        sound: "if self.registry.inside_sink() {",
        broken: "if false {",
        package: CORE,
        suite: SCHEDULES,
        test: "attaching::promise_2_sinks_that_detach_each_other_do_not_deadlock",
    },
    Sin {
        name: "2: a fan-out does not look at the closed flag",
        file: FAN_OUT,
        sound: "if member.is_closed() || !wanted(member) {",
        broken: "if !wanted(member) {",
        package: CORE,
        suite: MODEL,
        test: "every_publish_reaches_exactly_whom_it_must",
    },
    Sin {
        name: "2: a late associate is not undone",
        file: REGISTRY,
        sound: "                self.leave(&key, member);\n                Err(AssociateError::Detached)",
        broken: "                let _ = key;\n                Err(AssociateError::Detached)",
        package: CORE,
        suite: SCHEDULES,
        test: "attaching::promise_2_a_late_associate_leaves_nothing_behind",
    },
    Sin {
        name: "2: a detach takes whoever has the id",
        file: TABLE,
        sound: "find_entry(hash, |home| Arc::ptr_eq(&home.member, member))",
        broken: "find_entry(hash, |home| home.member.key().parts() == member.key().parts())",
        package: CORE,
        suite: SCHEDULES,
        test: "attaching::promise_2_a_replaced_connection_can_be_awaited",
    },
    Sin {
        name: "2: an association is not remembered",
        file: REGISTRY,
        sound: "home.joined.push(joined);",
        broken: "drop(joined);",
        package: CORE,
        suite: SCHEDULES,
        test: "attaching::the_member_set_keeps_who_stays",
    },
    Sin {
        name: "3: a mailbox yields the newest first",
        file: QUEUE,
        sound: "let slot = self.slots.pop_front()?;",
        broken: "let slot = self.slots.pop_back()?;",
        package: CORE,
        suite: PROMISES,
        test: "promise_3_events_of_one_publisher_arrive_in_order",
    },
    Sin {
        name: "5: a mailbox has no bound",
        file: QUEUE,
        sound: "while self.events >= self.capacity.messages || self.bytes + size > self.capacity.bytes {",
        broken: "while false {",
        package: CORE,
        suite: MEMORY,
        test: "promise_5_memory_returns_to_its_base",
    },
    Sin {
        name: "5: a dropped event has no marker",
        file: QUEUE,
        sound: "_ => self.slots.push_back(Slot::Lost(1)),",
        broken: "_ => {}",
        package: CORE,
        suite: LIB,
        test: "mailbox::queue::tests::promise_5_a_queue_does_what_its_policy_says",
    },
    Sin {
        name: "5: replaced events pile up",
        file: QUEUE,
        sound: "if self.slots.len() > 2 * self.events + KEPT {",
        broken: "if false {",
        package: CORE,
        suite: LIB,
        test: "mailbox::queue::tests::promise_5_replaced_events_do_not_pile_up",
    },
    Sin {
        name: "5: a push does not wake the reader",
        file: MAILBOX,
        sound: "(outcome, state.reader.take())",
        broken: "(outcome, None::<Waker>)",
        package: CORE,
        suite: SCHEDULES,
        test: "mailbox::promise_5_a_push_wakes_the_reader",
    },
    Sin {
        name: "5: an empty target is kept",
        file: TABLE,
        sound: "if emptied {",
        broken: "if emptied && false {",
        package: CORE,
        suite: MEMORY,
        test: "promise_5_memory_returns_to_its_base",
    },
    Sin {
        name: "5: the tables never shrink",
        file: TABLE,
        sound: "table.len() < table.capacity() / 8",
        broken: "false",
        package: CORE,
        suite: MEMORY,
        test: "promise_5_memory_returns_to_its_base",
    },
    Sin {
        name: "5: a connection joins without a limit",
        file: REGISTRY,
        sound: "if !member.reserve(self.targets_per_connection) {",
        broken: "if !member.reserve(u32::MAX) {",
        package: CORE,
        suite: PROMISES,
        test: "promise_5_a_connection_is_in_a_bounded_number_of_targets",
    },
    Sin {
        name: "5: refused deliveries are not counted",
        file: FAN_OUT,
        sound: "Verdict::Full => delivered.full += 1,",
        broken: "Verdict::Full => {}",
        package: CORE,
        suite: PROMISES,
        test: "promise_5_every_drop_has_a_reason_and_a_counter",
    },
    Sin {
        name: "6: a panic ends the fan-out",
        file: FAN_OUT,
        sound: "if let (Err(_), Some(culprit)) = (outcome, current) {",
        broken: "if let (Err(_), Some(culprit)) = (outcome, current) {\n                    rest = [].iter();",
        package: CORE,
        suite: PROMISES,
        test: "promise_6_a_panicking_sink_costs_only_itself",
    },
    Sin {
        name: "6: a destructor's panic escapes",
        file: REGISTRY,
        sound: "if H::contain(&mut || drop(value.take())).is_err() {",
        broken: "drop(value.take());\n        if false {",
        package: CORE,
        suite: PROMISES,
        test: "promise_6_a_panicking_destructor_costs_nobody",
    },
    Sin {
        name: "8: sinks run under a lock",
        file: FAN_OUT,
        sound: "if let Some(members) = self.snapshot(scope, target) {",
        broken: "if let Some(members) = self.snapshot(scope, target) {\n                \
                 let _held = self.shard(KeyRef::new(scope, target).hash(&self.hasher));",
        package: CORE,
        suite: PROMISES,
        test: "promise_8_nothing_waits_for_a_stuck_sink",
    },
    Sin {
        name: "wire: the size is not checked",
        file: ENVELOPE,
        sound: "if bytes.len() > limit {\n            return Err(DecodeError::TooLarge {",
        broken: "if false {\n            return Err(DecodeError::TooLarge {",
        package: CORE,
        suite: WIRE,
        test: "size_comes_before_version_before_the_rest",
    },
    Sin {
        name: "wire: a kind changes its number",
        file: ENVELOPE,
        sound: "const PUBLISH: u8 = 1;",
        broken: "const PUBLISH: u8 = 2;",
        package: CORE,
        suite: WIRE,
        test: "golden_frames_decode_to_what_they_always_meant",
    },
    Sin {
        name: "wire: the sequence wraps",
        file: ENVELOPE,
        sound: "next = sequence.checked_add(1);",
        broken: "next = Some(sequence.wrapping_add(1));",
        package: CORE,
        suite: WIRE,
        test: "sequence_numbers_do_not_wrap",
    },
];
