//! The log against its bounds.
