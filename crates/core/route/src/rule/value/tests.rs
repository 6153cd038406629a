use proptest::prelude::*;
use weft_message::{PathRules, canonical_path};

use super::*;

proptest! {
    /// Rules are compared with what requests are turned into.
    #[test]
    fn a_literal_is_put_into_the_form_of_requests(
        path in "(/([a-zA-Z0-9._~!$&'()*+,;=:@<>{}|^\"\\[\\]-]|%[2-7][0-9A-Fa-f]|%c3%a9|%C3%A9){1,6}){1,4}/?",
    ) {
        let Ok(canonical) = canonical_path(&path, &PathRules::PERMISSIVE) else { return Ok(()) };
        // Rules with dot segments are refused, requests with them resolved.
        let literal = canonical_literal(&path);
        let has_dots = literal.split('/').any(|segment| segment == "." || segment == "..");
        prop_assume!(!has_dots);
        prop_assert_eq!(literal, canonical);
    }

    #[test]
    fn the_canonical_form_is_its_own(path in "/[ -~]{0,20}") {
        let once = canonical_literal(&path);
        prop_assert_eq!(canonical_literal(&once), once);
    }
}
