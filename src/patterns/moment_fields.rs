//! What a moment file holds.
