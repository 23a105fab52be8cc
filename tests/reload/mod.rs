//! Another configuration for a running gateway: where it comes from, what it changes, and what it
//! does not.

mod file;
mod guards;
mod listeners;
mod state;
mod token;
mod under_load;
