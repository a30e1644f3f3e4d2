//! What holds of every file of the workspace: imports run in no circles, and docs speak the language of the field.

mod circles;
mod language;
mod sources;
