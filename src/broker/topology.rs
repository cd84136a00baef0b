//! The request queue: adopted as it is, declared where it is missing.
