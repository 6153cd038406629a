use super::*;
use crate::network::Range;

fn placement(name: &str) -> Placement {
    Placement {
        workload: name.parse().expect("a valid name"),
        addrs: Network::default().workloads.at(0x105).expect("inside of the range"),
        exclusions: Exclusions::default(),
        external: External { v4: true, v6: false },
        machine: Machine {
            hostname: "laptop".into(),
            hosts: "127.0.0.1 localhost\n127.0.1.1 laptop\n192.168.1.9 laptop.lan laptop\n\
                    10.1.2.3 db db.lan # the shared one\nnonsense here\n"
                .into(),
            nsswitch: Some(
                "passwd: files sss\nhosts: files mymachines resolve [!UNAVAIL=return]\n".into(),
            ),
            resolv: "nameserver 127.0.0.53\ndomain old\nsearch lan .\n".into(),
        },
    }
}

/// Everything that a plan holds, in one text.
fn show(plan: &Plan) -> String {
    let step = |step: &Step| match step {
        Step::Run(command) if command.input.is_empty() => format!("$ {command}\n"),
        Step::Run(command) => format!("$ {command} <<END\n{}END\n", command.input),
        Step::Write { path, text } => format!("> {}\n{text}END\n", path.display()),
        Step::RemoveFolder(path) => format!("- {}\n", path.display()),
    };
    let steps = |steps: &[Step]| steps.iter().map(step).collect::<String>();
    format!("{}\n# remove\n{}", steps(&plan.create), steps(&plan.remove))
}

/// Compares with a file beside this one; `UPDATE=1` writes it anew.
#[expect(clippy::disallowed_methods, reason = "a test reads its switch")]
fn check(file: &str, plan: &Plan) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/plan/tests").join(file);
    let found = show(plan);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &found).expect("the golden file can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the golden file is there");
    assert_eq!(found, expected, "UPDATE=1 rewrites {}", path.display());
}

#[test]
fn a_plan_by_default() {
    check("default.txt", &plan(&Network::default(), &placement("payments")));
}

#[test]
fn a_plan_with_exclusions_in_another_namespace() {
    let mut placement = placement("shop/payments");
    placement.external = External { v4: false, v6: true };
    placement.exclusions = Exclusions {
        inbound: "22,9000-9010".parse().expect("valid ports"),
        outbound: "5432,53".parse().expect("valid ports"),
        networks: vec![
            "192.168.7.9/24".parse().expect("a network"),
            "fd00:1::/32".parse().expect("a network"),
        ],
    };
    check("exclusions.txt", &plan(&Network::default(), &placement));
}

#[test]
fn a_plan_without_ipv6_and_files() {
    let network = Network::default().without_v6();
    let mut placement = placement("payments");
    placement.addrs = network.workloads.at(2).expect("inside of the range");
    placement.external = External::default();
    placement.machine = Machine::default();
    let plan = plan(&network, &placement);
    let shown = show(&plan);
    assert!(!shown.contains("ip6") || !shown.contains("fd77"), "{shown}");
    check("ipv4.txt", &plan);
}

#[test]
fn names_of_links_keep_the_limit_of_the_kernel() {
    let network = Network {
        prefix: "weftway-".into(),
        workloads: Range { v4: "10.0.0.0/8".parse().expect("a range"), v6: None },
        ..Network::default()
    };
    let last = network.workloads.at(network.workloads.end() - 1).expect("inside of the range");
    let name = link(&network, &last);
    assert_eq!(name, "weftway-fffffe");
    assert!(name.len() <= 15);
}
