//! The ids of the other kinds of target, beside [`ConnectionId`](crate::ConnectionId), for who parses and compares them:
//! [`Target::user`](crate::Target::user) and its siblings make a target of text without them.

pub use midplane_core::{
    AgentId, Kind, MAX_ID_BYTES, OrgId, ParseTargetError, SessionId, TopicId, UserId,
};
