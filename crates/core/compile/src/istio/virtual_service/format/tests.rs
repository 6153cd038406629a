use super::*;

fn shown(value: &str, side: Side) -> String {
    let one = |part: &ValuePart| match part {
        ValuePart::Text(text) => format!("`{text}`"),
        ValuePart::Fact(Fact::Named { parts, bytes_max }) => {
            let names: Vec<&str> = parts.iter().map(MessagePart::as_str).collect();
            let most = bytes_max.map(|max| format!(" {max}")).unwrap_or_default();
            format!("<{}{most}>", names.join("|"))
        }
        ValuePart::Fact(fact) => format!("<{fact:?}>"),
    };
    match parts(value, side) {
        Ok(parts) => parts.iter().map(one).collect(),
        Err(operator) => format!("not {operator}"),
    }
}

#[test]
fn values_are_texts_and_facts() {
    let check = |value: &str, expected: &str| {
        assert_eq!(shown(value, Side::Request), expected, "{value}");
    };
    check("", "");
    check("plain", "`plain`");
    check("100%%", "`100%`");
    check("%PROTOCOL%", "<Protocol>");
    check(
        "by %DOWNSTREAM_REMOTE_ADDRESS% on %DOWNSTREAM_LOCAL_PORT%",
        "`by `<ClientAddr>` on `<LocalPort>",
    );
    check("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%%%", "<ClientIp>`%`");
    check("%REQ(X-User)%", "<x-user>");
    check("%REQ(x-envoy-original-path?:PATH):8%", "<x-envoy-original-path|:path 8>");
    for unknown in ["%UPSTREAM_HOST%", "%REQ(a b)%", "%REQ(a):x%", "%RESP(a)%", "%RESPONSE_CODE%"] {
        check(unknown, &format!("not {}", unknown.trim_matches('%')));
    }
    check("50%", "not 50%");
}

#[test]
fn answers_have_facts_of_their_own() {
    let check = |value: &str, expected: &str| {
        assert_eq!(shown(value, Side::Response), expected, "{value}");
    };
    check("%RESPONSE_CODE% %RESP(x-a?x-b)%", "<Status>` `<x-a|x-b>");
    check("%REQ(x-a)%", "not REQ(x-a)");
    check("%RESP(:path)%", "not RESP(:path)");
    check("%PROTOCOL%", "not PROTOCOL");
}
