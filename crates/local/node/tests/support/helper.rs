//! What runs beside and inside of workloads in tests: this very test binary, told by a variable what
//! to be.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::exit;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use weft_node::client::Client;

/// The variable that tells.
pub(crate) const ROLE: &str = "WEFT_NODE_TEST_ROLE";

/// How long anything may take: longer than ever needed, and a failure when it is over.
const PATIENCE: Duration = Duration::from_secs(5);

/// Program and arguments that become the helper, once [`ROLE`] is set.
pub(crate) fn argv() -> (PathBuf, Vec<String>) {
    let program = std::env::current_exe().expect("a test has a file");
    let args = ["--exact", "helper", "--nocapture", "--include-ignored", "--test-threads=1"];
    (program, args.map(str::to_owned).into())
}

/// Becomes what [`ROLE`] says; returns if there is none.
///
/// - `proxy IP`: a proxy that says who was meant and closes.
/// - anything else: commands of an application, separated by `;`.
pub(crate) fn run() {
    let Some(role) = switch(ROLE) else { return };
    match role.strip_prefix("proxy ") {
        Some(ip) => proxy(ip.parse().expect("an address")),
        None => {
            // The test's runner has begun a line.
            say("");
            role.split(';').map(str::trim).filter(|line| !line.is_empty()).for_each(command);
        }
    }
    exit(0);
}

/// The lines that an application's commands have written.
pub(crate) fn said(output: &str) -> Vec<String> {
    let lines = output.lines().filter_map(|line| line.strip_prefix("> "));
    lines.map(str::to_owned).collect()
}

/// What is heard from a server that speaks first, or why nothing is.
pub(crate) fn dial(addr: SocketAddr) -> String {
    let stream = TcpStream::connect_timeout(&addr, PATIENCE);
    let heard = stream.and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    match heard {
        Ok(text) => text.trim().to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// What comes back for a datagram.
fn ask(addr: SocketAddr) -> String {
    let any: SocketAddr =
        if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("an address");
    let answered = UdpSocket::bind(any).and_then(|socket| {
        socket.set_read_timeout(Some(PATIENCE))?;
        // Connected: only an answer of whom it asked counts.
        socket.connect(addr)?;
        socket.send(b"name?")?;
        let mut bytes = [0; 64];
        let count = socket.recv(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..count]).into_owned())
    });
    answered.unwrap_or_else(|error| format!("{:?}", error.kind()))
}

fn command(line: &str) {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let addr = || rest.parse::<SocketAddr>().expect("an address");
    match verb {
        "dial" => say(&dial(addr())),
        "ask" => say(&ask(addr())),
        "say" => say(rest),
        "cat" => say(&std::fs::read_to_string(rest).expect("a file").replace('\n', "|")),
        "id" => {
            let status = std::fs::read_to_string("/proc/self/status").expect("a process");
            let fields = ["Uid:", "Gid:", "Groups:"];
            let lines = status.lines().filter(|line| fields.iter().any(|f| line.starts_with(f)));
            say(&lines
                .map(|l| l.replace('\t', " ").trim().to_owned())
                .collect::<Vec<_>>()
                .join("|"));
        }
        // Answers on this port, in the background.
        "serve" => {
            let listener = listen(addr());
            background(move || serve(&listener, |_| "direct".into()));
        }
        // Tells that everything before is done, and stays.
        "stay" => {
            say("stays");
            loop {
                std::thread::park();
            }
        }
        "exit" => exit(rest.parse().expect("a code")),
        "list" => say(&ask_node(rest, async |client| match client.list().await {
            Ok(all) => all.iter().map(|one| one.name.to_string()).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        })),
        "run" => {
            let (socket, rest) = rest.split_once(' ').expect("a socket");
            let (name, account) = rest.split_once(' ').expect("a name and a service account");
            say(&run_on_node(socket, name, account));
        }
        "stop" => {
            let (socket, name) = rest.split_once(' ').expect("a socket and a name");
            say(&ask_node(socket, async |client| {
                let stopped = client.stop(name.parse().expect("a name")).await;
                stopped.map_or_else(|error| error.to_string(), |()| "stopped".into())
            }));
        }
        other => {
            say(&format!("no such command: {other}"));
            exit(2);
        }
    }
}

/// A variable that tells a test binary what to be.
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
pub(crate) fn switch(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Writes a line that [`said`] finds. An empty one ends the line that the test's runner has begun.
pub(crate) fn say(text: &str) {
    let line = if text.is_empty() { "\n".to_owned() } else { format!("> {text}\n") };
    let mut out = std::io::stdout();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).expect("somebody listens");
}

/// What a node answers to this process.
fn ask_node(socket: &str, ask: impl AsyncFnOnce(&mut Client) -> String) -> String {
    let asked = async {
        let mut client = Client::connect(socket.as_ref()).await.expect("it listens");
        ask(&mut client).await
    };
    weft_runtime::worker::block_on(asked).expect("a runtime")
}

/// Runs a program that does nothing, as this process' user and that service account.
fn run_on_node(socket: &str, name: &str, account: &str) -> String {
    let asked = async {
        let client = Client::connect(socket.as_ref()).await.expect("it listens");
        let mut run = crate::fixture::run(name, "");
        run.service_account = Some(account.to_owned());
        run.application.argv = vec!["/bin/true".to_owned()];
        let null = std::fs::File::options().read(true).write(true).open("/dev/null");
        let null = null.expect("there is one");
        match client.run(run, &null, &null, &null).await {
            Ok(running) => format!("started {}", running.registered().name),
            Err(error) => error.to_string(),
        }
    };
    weft_runtime::worker::block_on(asked).expect("a runtime")
}

/// Listens where a proxy does, except on its mesh port.
fn proxy(own: Ipv4Addr) {
    let any = |port: u16| {
        // Without namespaces every address has its own proxy.
        if own.is_loopback() {
            SocketAddr::from((own, port))
        } else {
            SocketAddr::from(([0_u16; 8], port))
        }
    };
    let original = |stream: &TcpStream| {
        let socket = SockRef::from(stream);
        let is_v6 = matches!(
            stream.local_addr(),
            Ok(SocketAddr::V6(addr)) if addr.ip().to_ipv4_mapped().is_none()
        );
        let addr = if is_v6 { socket.original_dst_v6() } else { socket.original_dst_v4() };
        addr.ok().and_then(|addr| addr.as_socket()).map_or("none".into(), |addr| addr.to_string())
    };
    for (port, direction) in [(15001, "outbound"), (15006, "inbound")] {
        let listener = listen(any(port));
        background(move || serve(&listener, |stream| format!("{direction} {}", original(stream))));
    }
    let dns = listen(any(15053));
    background(move || serve(&dns, |stream| format!("dns {}", original(stream))));
    // An answer has to come from where the question was sent to, so these are bound to addresses.
    let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for ip in loopback.into_iter().filter(|_| !own.is_loopback()) {
        let dns = UdpSocket::bind((ip, 15053)).expect("a free port");
        background(move || {
            let mut bytes = [0; 512];
            while let Ok((_, from)) = dns.recv_from(&mut bytes) {
                let _ = dns.send_to(b"name!", from);
            }
        });
    }
    let ready = listen(SocketAddr::new(IpAddr::V4(own), 15021));
    for stream in ready.incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = [0; 512];
        let _ = stream.read(&mut request);
        let is_asked = request.starts_with(b"GET /readyz HTTP/1.1\r\n");
        let status = if is_asked { "200 OK" } else { "404 Not Found" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    }
}

fn listen(addr: SocketAddr) -> TcpListener {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    if addr.is_ipv6() {
        socket.set_only_v6(false).expect("an option");
    }
    socket.bind(&addr.into()).expect("a free port");
    socket.listen(64).expect("a listener");
    socket.into()
}

fn serve(listener: &TcpListener, answer: impl Fn(&TcpStream) -> String) {
    for mut stream in listener.incoming().flatten() {
        let _ = writeln!(stream, "{}", answer(&stream));
    }
}

fn background(work: impl FnOnce() + Send + 'static) {
    weft_runtime::worker::spawn_blocking("helper", work);
}
