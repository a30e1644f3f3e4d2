//! The WebSocket protocol, in the groups of Autobahn's cases.

use crate::fixture::Program;
use crate::rfc6455::{self, Cases};

async fn play(program: Program, flags: &str, cases: Cases) {
    // A group that lost its cases would pass.
    assert!(cases.len() > 10, "{cases:?}");
    let server = program.start(flags);
    cases.play(*server).await;
    server.settles_at(0).await;
}

/// A message of every size is answered, however it is cut.
pub async fn messages_of_every_size_are_answered(program: Program) {
    play(program, "--max-message 16MiB", rfc6455::messages()).await;
}

/// A ping is answered with what it carries.
pub async fn pings_are_answered(program: Program) {
    play(program, "", rfc6455::pings()).await;
}

/// A bit or an opcode that means nothing yet is closed with 1002.
pub async fn what_is_reserved_is_1002(program: Program) {
    play(program, "", rfc6455::reserved()).await;
}

/// A message may come in fragments, a control frame may not.
pub async fn fragments_are_one_message(program: Program) {
    play(program, "", rfc6455::fragments()).await;
}

/// Text that is no UTF-8 is closed with 1007, whatever is wrong with it and however it is cut.
pub async fn text_is_utf8(program: Program) {
    play(program, "", rfc6455::utf8()).await;
}

/// A close is answered, and one that may not be is 1002.
pub async fn a_close_is_answered(program: Program) {
    play(program, "", rfc6455::closes()).await;
}
