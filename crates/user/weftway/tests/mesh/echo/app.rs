//! The application.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use axum::routing::any;
use h2::RecvStream;
use h2::server::SendResponse;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use weft_runtime::{task, time};
use weft_testkit::{decode_messages, encode_message};

use super::behaviour::{Behaviour, HEADER, KEY};
use super::client::Client;
use super::{App, CONTROL, Call};

/// Requests that are kept.
const KEPT_MAX: usize = 1000;

/// An application.
struct Application {
    name: String,
    /// Whom it asks before it answers.
    next: Option<String>,
    books: Mutex<Books>,
    behaviour: watch::Sender<Behaviour>,
}

/// What an application remembers.
#[derive(Default)]
struct Books {
    count: u64,
    by_key: BTreeMap<String, u64>,
    kept: VecDeque<Value>,
}

/// A request, whatever it came over.
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

/// What is said about it.
struct Said {
    behaviour: Behaviour,
    status: u16,
    body: String,
}

/// Is an application until it is ended: its name, and whom it calls.
pub(crate) async fn serve(words: &str) {
    let (name, next) = words.split_once(' ').unwrap();
    let app = Arc::new(Application {
        name: name.into(),
        next: (!next.is_empty()).then(|| next.into()),
        books: Mutex::default(),
        behaviour: watch::Sender::default(),
    });
    let client = Client::default();
    let [http, grpc, tcp] = App::PORTS.map(|port| port.parse::<u16>().unwrap());
    let control = listener(Ipv4Addr::LOCALHOST, CONTROL).await;
    let told = Router::new().route("/", any(control_request)).with_state(app.clone());
    task::spawn("control", async move { axum::serve(control, told).await });
    accept(app.clone(), grpc, {
        let (app, client) = (app.clone(), client.clone());
        move |stream| calls(app.clone(), client.clone(), stream)
    });
    accept(app.clone(), tcp, {
        let app = app.clone();
        move |stream| greet(app.clone(), stream)
    });
    serve_http(app, client, http).await;
}

/// HTTP/1.1, whenever connections are taken.
async fn serve_http(app: Arc<Application>, client: Client, port: u16) {
    // Handlers may be on any thread, as far as axum knows; a client stays on its own.
    let (asks, mut asked) = mpsc::unbounded_channel::<(Seen, oneshot::Sender<Said>)>();
    task::spawn("requests", {
        let app = app.clone();
        async move {
            while let Some((seen, reply)) = asked.recv().await {
                let (app, client) = (app.clone(), client.clone());
                task::spawn("request", async move {
                    let _ = reply.send(app.answer(&client, seen).await);
                });
            }
        }
    });
    let router = Router::new().fallback(move |request: Request<Body>| {
        let asks = asks.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let body = String::from_utf8_lossy(&body).into_owned();
            let seen = Seen { method: head.method, uri: head.uri, headers: head.headers, body };
            let (reply, replied) = oneshot::channel();
            asks.send((seen, reply)).unwrap();
            replied.await.unwrap().response()
        }
    });
    let mut told = app.behaviour.subscribe();
    loop {
        let _ = told.wait_for(|behaviour| !behaviour.refuses).await;
        let listener = listener(Ipv4Addr::UNSPECIFIED, port).await;
        let mut told = told.clone();
        let refuses = async move {
            let _ = told.wait_for(|behaviour| behaviour.refuses).await;
        };
        let _ = axum::serve(listener, router.clone()).with_graceful_shutdown(refuses).await;
    }
}

/// Other protocols, whenever connections are taken.
fn accept<F>(app: Arc<Application>, port: u16, serve: impl Fn(TcpStream) -> F + 'static)
where
    F: Future + 'static,
{
    task::spawn("listener", async move {
        let mut told = app.behaviour.subscribe();
        loop {
            let _ = told.wait_for(|behaviour| !behaviour.refuses).await;
            let listener = listener(Ipv4Addr::UNSPECIFIED, port).await;
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = told.wait_for(|behaviour| behaviour.refuses) => break,
                };
                let Ok((stream, _)) = accepted else { break };
                let served = serve(stream);
                task::spawn("connection", async move {
                    served.await;
                });
            }
        }
    });
}

async fn listener(ip: Ipv4Addr, port: u16) -> TcpListener {
    TcpListener::bind((IpAddr::V4(ip), port)).await.unwrap()
}

async fn calls(app: Arc<Application>, client: Client, stream: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (app, client) = (app.clone(), client.clone());
        task::spawn("call", async move { call(&app, &client, request, respond).await });
    }
}

async fn call(
    app: &Application,
    client: &Client,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Option<()> {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
        bytes.extend_from_slice(&data);
    }
    let message = decode_messages(&mut bytes).concat();
    let body = String::from_utf8_lossy(&message).into_owned();
    let seen = Seen { method: head.method, uri: head.uri, headers: head.headers, body };
    let said = app.answer(client, seen).await;
    let mut head = Response::builder().header("content-type", "application/grpc");
    for (name, value) in &said.behaviour.headers {
        head = head.header(name, value);
    }
    if said.behaviour.grpc != 0 {
        // Without a message, head and trailers are one.
        let head = head.header("grpc-status", said.behaviour.grpc).body(()).ok()?;
        respond.send_response(head, true).ok()?;
        return Some(());
    }
    let mut answer = respond.send_response(head.body(()).ok()?, false).ok()?;
    answer.send_data(encode_message(&said.body).into(), false).ok()?;
    let trailers = HeaderMap::from_iter([("grpc-status".parse().ok()?, "0".parse().ok()?)]);
    answer.send_trailers(trailers).ok()
}

/// Says who it is first, and then whatever it is told.
async fn greet(app: Arc<Application>, mut stream: TcpStream) {
    let _ = stream.write_all(format!("{}\n", app.name).as_bytes()).await;
    let (mut told, mut said) = stream.split();
    let _ = tokio::io::copy(&mut told, &mut said).await;
}

/// GET tells what was seen, DELETE forgets it, and PUT tells how to behave.
async fn control_request(
    State(app): State<Arc<Application>>,
    method: Method,
    body: String,
) -> axum::Json<Value> {
    match method {
        Method::PUT => drop(app.behaviour.send_replace(Behaviour::read(&body))),
        Method::DELETE => *app.books() = Books::default(),
        _ => {}
    }
    let books = app.books();
    axum::Json(json!({"count": books.count, "kept": books.kept}))
}

// === impl Application ===

impl Application {
    async fn answer(&self, client: &Client, seen: Seen) -> Said {
        let written = self.written(&seen);
        let behaviour = self.note(&seen, &written);
        time::sleep(behaviour.delay).await;
        let Some(next) = &self.next else {
            let status = behaviour.status.unwrap_or(200);
            return Said { status, behaviour, body: written.to_string() };
        };
        let reply = client.call(&Call::get(&format!("{next}{}", seen.uri.path()))).await;
        Said {
            status: if reply.status == 0 { 500 } else { reply.status },
            behaviour,
            body: reply.body,
        }
    }

    /// What it got, for others.
    fn written(&self, seen: &Seen) -> Value {
        let mut headers: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in &seen.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let all = headers.entry(name.as_str()).or_default();
            if !all.is_empty() {
                all.push(',');
            }
            all.push_str(&value);
        }
        // In HTTP/2 the host is a part of the target.
        if let Some(authority) = seen.uri.authority() {
            headers.entry("host").or_insert_with(|| authority.to_string());
        }
        let path = seen.uri.path_and_query().map_or("", |path| path.as_str());
        json!({
            "name": self.name, "method": seen.method.as_str(), "path": path, "headers": headers,
            "body": seen.body,
        })
    }

    /// Counts a request; how to behave for it.
    fn note(&self, seen: &Seen, written: &Value) -> Behaviour {
        let header = |name| seen.headers.get(name).and_then(|value| value.to_str().ok());
        let mut books = self.books();
        let number = books.count;
        books.count += 1;
        books.kept.push_back(written.clone());
        if books.kept.len() > KEPT_MAX {
            books.kept.pop_front();
        }
        let of_key = books.by_key.entry(header(KEY).unwrap_or_default().into()).or_default();
        let behaviour = match header(HEADER) {
            Some(text) => Behaviour::read(text).of(number, *of_key),
            None => self.behaviour.borrow().of(number, *of_key),
        };
        *of_key += 1;
        behaviour
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Said ===

impl Said {
    fn response(self) -> Response<String> {
        let mut response = Response::new(self.body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        for (name, value) in &self.behaviour.headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    }
}
