//! The textbook maths.
