//! Certificates and TLS options.

use weft_model::listener::{ClientAuth, TlsTable, TlsVersion};
use weft_model::policy::StepKind;

use super::{kinds, object, options, problems, side, world_with};
use crate::{Options, PemPair, World};

/// A self-signed certificate for these names.
fn pair(names: &[&str]) -> PemPair {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("it can be made");
    PemPair {
        origin: "made for a test".into(),
        chain: made.cert.pem().into_bytes().into(),
        key: made.signing_key.serialize_pem().into_bytes().into(),
    }
}

/// A Secret with a certificate.
fn secret(name: &str, pair: &PemPair) -> String {
    let indent = |pem: &[u8]| {
        let text = String::from_utf8_lossy(pem);
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    format!(
        "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: {name}}}\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indent(&pair.chain),
        indent(&pair.key)
    )
}

fn route(name: &str, host: &str, tls: &str) -> String {
    object(
        "IngressRoute",
        name,
        &format!(
            "  entryPoints: [websecure]\n  routes:\n  - {{match: Host(`{host}`), services: [{{name: greeter, port: 8080}}]}}\n  tls: {tls}\n"
        ),
    )
}

fn with_default() -> Options {
    let mut options = options();
    options.self_signed = Some(pair(&["localhost"]));
    options
}

fn table(world: &World) -> &TlsTable {
    let listener = world.snapshot.listeners.iter().find(|l| l.id.as_str() == "websecure");
    &listener.and_then(|listener| listener.tls.as_ref()).expect("TLS is served").terminate
}

fn hosts(world: &World) -> Vec<&str> {
    table(world).entries.iter().map(|entry| &*entry.host).collect()
}

#[test]
fn a_secret_serves_its_names() {
    let text = [
        route("r", "shop.example", "{secretName: s}"),
        secret("s", &pair(&["shop.example", "*.shop.example"])),
    ];
    let world = world_with(&text.concat(), &with_default());
    assert_eq!(problems(&world), [""; 0]);
    assert_eq!(hosts(&world), ["*.shop.example", "shop.example"]);
    let default = table(&world).default.as_ref().expect("a default");
    assert_eq!(&*default.certificates[0].names, [Box::from("localhost")]);
}

#[test]
fn a_missing_secret_leaves_the_default() {
    let world = world_with(&route("r", "shop.example", "{secretName: s}"), &with_default());
    assert_eq!(
        problems(&world),
        ["t.yaml:9:21: error: spec.tls.secretName: secret `default/s` is not found; the default \
          certificate is served [add Secret default/s to what is read, which is services.yaml, \
          t.yaml]"]
    );
    assert_eq!(side(&world, "websecure", true).map(|served| served.http.routes.len()), Some(1));
}

#[test]
fn keys_must_belong_to_their_certificates() {
    let mut wrong = pair(&["a.example"]);
    wrong.key = pair(&["b.example"]).key;
    let text = [route("r", "a.example", "{secretName: s}"), secret("s", &wrong)];
    let world = world_with(&text.concat(), &with_default());
    assert!(problems(&world)[0].contains("the key of secret default/s does not belong"));
    assert_eq!(hosts(&world), [""; 0]);

    let mut none = pair(&["a.example"]);
    none.key = none.chain.clone();
    let text = [route("r", "a.example", "{secretName: s}"), secret("s", &none)];
    let world = world_with(&text.concat(), &with_default());
    assert!(problems(&world)[0].contains("has no valid private key"), "{:?}", problems(&world));
}

#[test]
fn the_command_line_gives_the_default() {
    let mut options = with_default();
    options.certificates.push(pair(&["cli.example"]));
    let world = world_with(&route("r", "a.example", "{}"), &options);
    assert_eq!(problems(&world), [""; 0]);
    assert_eq!(hosts(&world), ["cli.example"]);
    let default = table(&world).default.as_ref().expect("a default");
    assert_eq!(&*default.certificates[0].names, [Box::from("cli.example")]);
}

#[test]
fn the_default_store_gives_the_default() {
    let store = object(
        "TLSStore",
        "default",
        "  defaultCertificate: {secretName: s}\n  certificates: [{secretName: t}]\n",
    );
    let text = [
        route("r", "a.example", "{}"),
        store,
        secret("s", &pair(&["s.example"])),
        secret("t", &pair(&["t.example"])),
    ];
    let world = world_with(&text.concat(), &with_default());
    assert_eq!(problems(&world), [""; 0]);
    assert_eq!(hosts(&world), ["t.example"]);
    let default = table(&world).default.as_ref().expect("a default");
    assert_eq!(&*default.certificates[0].names, [Box::from("s.example")]);
}

#[test]
fn options_attach_by_host() {
    let option = object(
        "TLSOption",
        "strict",
        "  minVersion: VersionTLS13\n  alpnProtocols: [http/1.1]\n  disableSessionTickets: true\n  clientAuth: {clientAuthType: RequireAnyClientCert}\n",
    );
    let text = [
        route("r", "a.example", "{options: {name: strict}}"),
        route("s", "b.example", "{}"),
        option,
    ];
    let world = world_with(&text.concat(), &with_default());
    assert_eq!(problems(&world), [""; 0]);
    let [entry] = table(&world).entries.as_slice() else { panic!("{:?}", hosts(&world)) };
    assert_eq!((&*entry.host, &*entry.site), ("a.example", "traefik/default/strict"));
    assert_eq!(entry.options.min_version, TlsVersion::Tls13);
    assert_eq!(entry.options.alpn, [Box::from("http/1.1")]);
    assert_eq!(entry.options.client_auth, ClientAuth::RequireAny);
    assert!(!entry.options.session_tickets);
    let default = table(&world).default.as_ref().expect("a default");
    assert_eq!(default.options.min_version, TlsVersion::Tls12);
}

#[test]
fn options_that_disagree_are_dropped_with_a_warning() {
    let text = [
        route("r", "a.example", "{options: {name: strict}}"),
        route("s", "a.example`) && Path(`/s", "{}"),
        object("TLSOption", "strict", "  minVersion: VersionTLS13\n"),
    ];
    let world = world_with(&text.concat(), &with_default());
    let found = problems(&world);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("the host `a.example` is given the TLS options `default` here"));
    assert_eq!(hosts(&world), [""; 0]);
}

#[test]
fn options_that_protect_win_where_routers_disagree() {
    let text = [
        route("r", "a.example", "{options: {name: mutual}}"),
        route("s", "a.example`) && Path(`/s", "{}"),
        object("TLSOption", "mutual", "  clientAuth: {clientAuthType: RequireAnyClientCert}\n"),
    ];
    let world = world_with(&text.concat(), &with_default());
    assert!(problems(&world)[0].contains("`default/mutual` is used"), "{:?}", problems(&world));
    assert_eq!(table(&world).entries[0].options.client_auth, ClientAuth::RequireAny);
}

#[test]
fn a_rule_without_hosts_cannot_be_protected_by_options() {
    let check = |rule: &str, options: &str, refused: bool, count: usize| {
        let text = [
            route("r", "a.example", "{options: {name: o}}").replace("Host(`a.example`)", rule),
            object("TLSOption", "o", &format!("  {options}\n")),
        ];
        let world = world_with(&text.concat(), &with_default());
        assert_eq!(problems(&world).len(), count, "{:?}", problems(&world));
        let served = side(&world, "websecure", true).expect("TLS");
        assert_eq!(!served.http.routes[0].steps.is_empty(), refused, "{rule}");
    };
    let mutual = "clientAuth: {clientAuthType: RequireAnyClientCert}";
    check("Host(`a.example`) && Path(`/`)", mutual, false, 0);
    check("Path(`/`)", mutual, true, 1);
    check("Host(`a.example`) || Path(`/`)", mutual, true, 1);
    check("HostRegexp(`a`)", mutual, true, 1);
    check("Path(`/`)", "minVersion: VersionTLS13", false, 1);
}

#[test]
fn default_options_that_cannot_be_enforced_close_what_they_hold_for() {
    let check = |option: &str| {
        let text = [
            route("r", "a.example", "{secretName: s}"),
            route("q", "b.example", "{options: {name: o}}"),
            object("TLSOption", "o", "  minVersion: VersionTLS13\n"),
            option.to_owned(),
            secret("s", &pair(&["a.example"])),
        ];
        let world = world_with(&text.concat(), &with_default());
        assert_eq!(problems(&world).len(), 1, "{:?}", problems(&world));
        assert_eq!((hosts(&world), &table(&world).default), (vec!["b.example"], &None));
    };
    check(&object(
        "TLSOption",
        "default",
        "  clientAuth: {clientAuthType: RequireAndVerifyClientCert, secretNames: [gone]}\n",
    ));
    check(&object("TLSOption", "default", "  clientAuht: {}\n"));
}

#[test]
fn missing_options_are_not_served() {
    let check = |text: String, expected: &str| {
        let world = world_with(&text, &with_default());
        let found = problems(&world);
        assert!(found.iter().any(|line| line.contains(expected)), "{found:?}");
        let served = side(&world, "websecure", true).expect("TLS");
        assert!(matches!(kinds(&served.http.routes[0])[..], [StepKind::Refuse(_)]));
    };
    let routed = route("r", "a.example", "{options: {name: o}}");
    check(routed.clone(), "TLSOption `default/o` is not found");
    let unverified =
        object("TLSOption", "o", "  clientAuth: {clientAuthType: RequireAndVerifyClientCert}\n");
    check(format!("{routed}{unverified}"), "names no authority");
    let nothing = object("TLSOption", "o", "  cipherSuites: [TLS_RSA_WITH_RC4_128_SHA]\n");
    check(format!("{routed}{nothing}"), "no cipher suite is left");
}

#[test]
fn client_certificates_are_verified_against_secrets() {
    let ca = pair(&["ca.example"]);
    let option = object(
        "TLSOption",
        "o",
        "  clientAuth: {clientAuthType: RequireAndVerifyClientCert, secretNames: [ca]}\n",
    );
    let secret = secret("ca", &ca).replace("tls.crt", "ca.crt");
    let text = [route("r", "a.example", "{options: {name: o}}"), option, secret];
    let world = world_with(&text.concat(), &with_default());
    assert_eq!(problems(&world), [""; 0]);
    let auth = &table(&world).entries[0].options.client_auth;
    assert!(matches!(auth, ClientAuth::RequireAndVerify(pem) if pem.starts_with(b"-----BEGIN")));
}

#[test]
fn suites_and_groups_are_translated() {
    let option = object(
        "TLSOption",
        "default",
        "  minVersion: VersionTLS10\n  cipherSuites: [TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305, TLS_RSA_WITH_AES_128_CBC_SHA]\n  curvePreferences: [CurveP256, X25519]\n  sniStrict: true\n",
    );
    let text =
        [route("r", "a.example", "{secretName: s}"), option, secret("s", &pair(&["a.example"]))];
    let world = world_with(&text.concat(), &with_default());
    let found = problems(&world);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("TLS 1.0 and 1.1 are not spoken"));
    assert!(found[1].contains("`TLS_RSA_WITH_AES_128_CBC_SHA` is not spoken"));
    let entry = &table(&world).entries[0];
    assert_eq!(&*entry.options.cipher_suites[0], "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256");
    assert_eq!(entry.options.cipher_suites.len(), 4);
    assert_eq!(entry.options.groups, [Box::from("secp256r1"), Box::from("X25519")]);
    // With strict names there is nothing for others.
    assert_eq!(table(&world).default, None);
}

#[test]
fn files_are_handed_in() {
    let made = pair(&["file.example"]);
    let text = "---\ntls:\n  certificates: [{certFile: /a.crt, keyFile: /a.key}, {certFile: /b, keyFile: /b}]\nhttp:\n  routers: {r: {rule: Path(`/a`), service: s, entryPoints: [websecure], tls: {}}}\n  services: {s: {loadBalancer: {servers: [{url: 'http://127.0.0.1:1'}]}}}\n";
    let set = weft_resources::load(&[("t.yaml", text)]);
    assert_eq!(crate::referenced_files(&set), ["/a.crt", "/a.key", "/b"].map(Box::<str>::from));
    let mut options = with_default();
    options.files.insert("/a.crt".into(), made.chain.clone());
    options.files.insert("/a.key".into(), made.key.clone());
    let world = world_with(text, &options);
    let [problem] = &problems(&world)[..] else { panic!("{:?}", problems(&world)) };
    let expected = "t.yaml:3:66: error: tls.certificates: file `/b` cannot be read [write its path";
    assert!(problem.starts_with(expected), "{problem}");
    assert_eq!(hosts(&world), ["file.example"]);
}

#[test]
fn hosts_under_a_wildcard_keep_their_options() {
    let text = [
        route("r", "*.example.org", "{options: {name: strict}}"),
        route("s", "a.example.org", "{}"),
        object("TLSOption", "strict", "  minVersion: VersionTLS13\n"),
    ];
    let world = world_with(&text.concat(), &with_default());
    assert_eq!(problems(&world), [""; 0]);
    let versions: Vec<(&str, TlsVersion)> = table(&world)
        .entries
        .iter()
        .map(|entry| (&*entry.host, entry.options.min_version))
        .collect();
    assert_eq!(
        versions,
        [("*.example.org", TlsVersion::Tls13), ("a.example.org", TlsVersion::Tls12)]
    );
}
