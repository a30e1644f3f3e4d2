//! What is done to servers, and to what is between them and the nodes, one function for each scenario.

pub mod access;
pub mod hostile;
pub mod load;
pub mod outage;
pub mod wire;
