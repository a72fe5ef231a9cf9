//! Batches of all sizes, memory that is short, devices that fail.
