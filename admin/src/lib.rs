//! The admin API on its own port: health, metrics, what is live, and the topics of the in-memory bus.
