//! Between a server and its client: a proxy that misbehaves on command.
