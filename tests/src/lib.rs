//! The tests over the whole gateway, with real brokers.
