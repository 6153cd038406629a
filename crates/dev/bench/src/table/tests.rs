use super::*;

#[test]
fn a_table_has_as_many_rules_as_it_says_and_serves_its_target() {
    for table in [
        Table::REALISTIC,
        Table { hosts: 1, per_host: 1, is_tls: false },
        Table { hosts: 100, per_host: 50, is_tls: true },
    ] {
        let text: String = (0..table.hosts).map(|host| table.documents(host)).collect();
        assert_eq!(text.matches("kind: Rule").count(), table.routes());
        let service = table.path();
        let prefix = &service[..service[1..].find('/').expect("a path has parts") + 2];
        let rule = format!("Host(`{}`) && PathPrefix(`{prefix}`)", table.host());
        assert!(text.contains(&rule), "{rule} is missing");
        assert_eq!(text.contains("tls: {}"), table.is_tls);
    }
}

#[test]
fn one_file_holds_a_document_for_each_host_that_is_left() {
    let table = Table { hosts: 5, per_host: 1, is_tls: false };
    let text = table.documents_from(1);
    assert!(text.starts_with("---\n"));
    assert_eq!(text.matches("kind: IngressRoute").count(), 4);
    assert!(!text.contains("host0.example.com") && text.contains("host4.example.com"));
}
