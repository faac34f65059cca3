//! The examples are in `rust/`, `python/` and `node/`; the tests run every one of them, and the
//! blocks of Rust in the pages below.

/// Makes the blocks of a page tests.
macro_rules! pages {
    ($($name:ident: $path:literal),* $(,)?) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!($path)]
            struct $name;
        )*
    };
}

pages! {
    Readme: "../../README.md",
}
