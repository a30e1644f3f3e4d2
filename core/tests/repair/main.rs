//! Nothing is lost that can be repaired, and what cannot is reported: nodes as values on a small simulated bus, and
//! whole clusters over the memory bus, both in virtual time.

mod ages;
mod backlog;
mod beginnings;
mod closing;
mod contact;
mod counts;
mod delays;
mod door;
mod forged;
mod forger;
mod history;
mod interest;
mod mixtures;
mod once;
mod outages;
mod rates;
mod recordings;
mod refused;
mod room;
mod settings;
mod signed;
mod stops;
mod told;
mod traps_asking;
mod traps_forged;
mod traps_joining;
mod traps_leaving;
mod traps_load;
mod turns;
mod waiting;
mod wire;
mod world;
