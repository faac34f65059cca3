//! The committed JSON Schema is the one that the types give.
#![cfg(feature = "schema")]

use std::fs;

#[test]
fn the_json_schema_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config.schema.json");
    let generated = format!("{:#}\n", flowgate_core::config::json_schema());
    if std::env::var_os("FLOWGATE_UPDATE").is_some() {
        fs::write(path, &generated).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap();
    assert_eq!(
        committed, generated,
        "run the tests with FLOWGATE_UPDATE=1 and commit the file"
    );
}
