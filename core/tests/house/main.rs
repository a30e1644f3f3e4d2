//! What holds of every file of the workspace: imports run in no circles, docs speak the language of the field, and
//! links lead somewhere.

mod circles;
mod language;
mod links;
mod rooms;
mod sources;
