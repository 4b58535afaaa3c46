//! What only the network does.
