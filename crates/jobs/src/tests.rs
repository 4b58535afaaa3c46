//! The front, the workers, the whole state machine, and sudden death.

mod crash;
mod figures;
mod front;
mod machine;
mod workers;
