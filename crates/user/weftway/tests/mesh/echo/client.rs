//! Calls as they are made.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::Context as _;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use weft_runtime::{task, time};
use weft_testkit::{decode_messages, encode_message};

use super::asked::Reply;
use super::call::Call;
use super::load::{Load, MARK};

/// Keeps its connections, as most clients do. Clones have the same ones.
#[derive(Clone, Default)]
pub(super) struct Client {
    http: Rc<RefCell<HashMap<String, Vec<http1::SendRequest<Body>>>>>,
    grpc: Rc<RefCell<HashMap<String, h2::client::SendRequest<Bytes>>>>,
}

/// Makes the calls of a load, and prints what became of them.
pub(crate) async fn ask(words: &str) {
    let load: Rc<Load> = Rc::new(serde_json::from_str(words).unwrap());
    let client = Client::default();
    let replies: Rc<RefCell<Vec<Reply>>> = Rc::default();
    let next = Rc::new(Cell::new(0));
    let start = time::now();
    let workers = (0..load.at_once).map(|_| {
        let (load, client, replies) = (load.clone(), client.clone(), replies.clone());
        let next = next.clone();
        task::spawn("worker", async move {
            while !load.is_over(next.get()) {
                let number = next.replace(next.get() + 1);
                time::sleep_until(start + load.due(number)).await;
                let reply = client.call(load.call(number)).await;
                replies.borrow_mut().push(reply);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    println!("{MARK}{}", serde_json::to_string(&*replies.borrow()).unwrap());
}

// === impl Client ===

impl Client {
    /// What becomes of a call; a reply without a status if that is nothing.
    pub(super) async fn call(&self, call: &Call) -> Reply {
        let start = time::now();
        let made = if call.is_grpc { self.grpc(call).await } else { self.http(call).await };
        let failed = |error| Reply { body: format!("{error:#}"), ..Reply::default() };
        let millis = time::now().duration_since(start).as_millis() as u64;
        Reply { millis, ..made.unwrap_or_else(failed) }
    }

    async fn http(&self, call: &Call) -> anyhow::Result<Reply> {
        let mut send = self.http_connection(&call.authority).await?;
        let mut request = Request::builder().method(&*call.method).uri(&call.target);
        request = request.header("host", call.host());
        for (name, value) in call.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        let body = if call.body.is_empty() { Body::empty() } else { call.body.clone().into() };
        let (head, body) = send.send_request(request.body(body)?).await?.into_parts();
        let body = axum::body::to_bytes(Body::new(body), usize::MAX).await?;
        if !send.is_closed() {
            self.http.borrow_mut().entry(call.authority.clone()).or_default().push(send);
        }
        Ok(Reply {
            status: head.status.as_u16(),
            grpc: None,
            headers: written(&head.headers),
            body: String::from_utf8_lossy(&body).into_owned(),
            millis: 0,
        })
    }

    /// One that is not in use.
    async fn http_connection(&self, authority: &str) -> anyhow::Result<http1::SendRequest<Body>> {
        loop {
            let kept = self.http.borrow_mut().get_mut(authority).and_then(Vec::pop);
            let Some(mut send) = kept else { break };
            if send.ready().await.is_ok() {
                return Ok(send);
            }
        }
        let stream = TcpStream::connect(authority).await.context("connect")?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await?;
        task::spawn("connection", async move {
            let _ = connection.await;
        });
        send.ready().await?;
        Ok(send)
    }

    async fn grpc(&self, call: &Call) -> anyhow::Result<Reply> {
        let mut send = self.grpc_connection(&call.authority).await?;
        let mut request = Request::post(format!("http://{}{}", call.host(), call.target))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in call.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        let (answer, mut body) = send.send_request(request.body(())?, false)?;
        body.send_data(encode_message(&call.body).into(), true)?;
        let (head, mut body) = answer.await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            bytes.extend_from_slice(&data);
        }
        let trailers = body.trailers().await?.unwrap_or_default();
        let status = trailers.get("grpc-status").or(head.headers.get("grpc-status"));
        Ok(Reply {
            status: head.status.as_u16(),
            grpc: status.and_then(|status| status.to_str().ok()?.parse().ok()),
            headers: written(&head.headers),
            body: String::from_utf8_lossy(&decode_messages(&mut bytes).concat()).into_owned(),
            millis: 0,
        })
    }

    async fn grpc_connection(
        &self,
        authority: &str,
    ) -> anyhow::Result<h2::client::SendRequest<Bytes>> {
        let kept = self.grpc.borrow().get(authority).cloned();
        if let Some(kept) = kept
            && let Ok(ready) = kept.ready().await
        {
            return Ok(ready);
        }
        let stream = TcpStream::connect(authority).await.context("connect")?;
        let (send, connection) = h2::client::handshake(stream).await?;
        task::spawn("connection", async move {
            let _ = connection.await;
        });
        let send = send.ready().await?;
        self.grpc.borrow_mut().insert(authority.into(), send.clone());
        Ok(send)
    }
}

fn written(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
    headers.iter().map(|(name, value)| (name.as_str().into(), text(value))).collect()
}
