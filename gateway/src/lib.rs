//! The binary gusset: command line, files and wiring.
