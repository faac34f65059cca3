//! The examples are in `rust/`, `python/` and `node/`; the tests run every one of them.
