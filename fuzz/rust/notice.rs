//! Anyone may say anything on the channel; what is understood is about this schema.

#![no_main]

use fuzz::connect::Schema;
use fuzz::store::Notice;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|message: &str| {
    let Some(notice) = Notice::read(message, &Schema::new("jobs")) else {
        return;
    };
    assert_eq!(Notice::read(message, &Schema::new("others")), None);
    let read: serde_json::Value = serde_json::from_str(message).expect("JSON");
    match notice {
        Notice::Cancel(id) => assert_eq!(read["cancel"], id),
        Notice::Ready => assert_eq!(read["ready"], true),
    }
});
