//! The command `processes clean`.
