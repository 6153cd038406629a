//! Connections for requests: pooled, waited for, or made.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::{Duration, Instant};

use weft_http::buffers::Buffers;
use weft_http::h1::Conn;
use weft_http::h2::Client;
use weft_http::io::Io;
use weft_model::backend::UpstreamProtocol;
use weft_resilience::inflight::Permit;
use weft_resilience::limits::{Bound, BoundReached};
use weft_resilience::outlier::Signal;
use weft_runtime::time;
use weft_tls::ClientTls;

use crate::behalf;
use crate::bound::{Gate, Overflow, Place};
use crate::dial::{self, Destination, Spoken};
use crate::error::ConnectError;
use crate::lease::Lease;
use crate::metrics::BackendCells;
use crate::peer::{PeerPool, Way};
use crate::pool::{Papers, Places};
use crate::tunnel;

/// A connection on which a request may be sent.
#[derive(Debug)]
pub enum Connection {
    /// HTTP/1.1, to itself.
    H1(Box<Conn>),
    /// A stream may be opened on this HTTP/2 connection.
    H2(Client),
    /// The same to the proxy beside the endpoint. The request has to say for which address it is, in
    /// [`weft_message::peer::DESTINATION`].
    Mesh(Client, SocketAddr),
}

/// What a connection for a request has to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// Whatever the backend's settings allow.
    Any,
    /// HTTP/1.1 where the settings leave a choice: for requests to upgrade.
    Http1,
    /// HTTP/2 where the settings say [`UpstreamProtocol::AsClient`]: for requests that came so on a
    /// connection that is to be passed on as it is.
    Http2,
}

/// A connection, and whether it had been used before.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub connection: Connection,
    /// How long it had been idle, if it was pooled; zero for one of HTTP/2 with other streams.
    pub idle: Option<Duration>,
}

/// What the wait for a connection brings.
enum Room {
    /// One more may be made.
    Places(Places),
    /// One that is there became free.
    Pooled(Connection, Duration),
}

/// What is left of the time that making a connection may take. The line is no part of it: nobody is
/// to be blamed at the endpoint for what was waited for elsewhere.
struct Patience(Duration);

/// A request that waits for a connection.
struct Pending<'a> {
    cells: &'a BackendCells,
    _permits: [Option<Permit>; 2],
}

// === impl Lease ===

impl Lease {
    /// A pooled connection, without waiting. `replayable` says whether the request could be sent
    /// again if the connection turns out to be closed.
    pub fn pooled(&self, now: Instant, replayable: bool, speaks: Speaks) -> Option<Dialled> {
        let way = self.carrier(speaks).map(|peer| peer.way(now));
        let (connection, idle) = match way {
            Some(Some(Way::Requests(client, idle))) => {
                if self.counts_when_carried(speaks) {
                    self.papers.set(Some(Papers::new(now, self.try_places()?)));
                }
                (Connection::Mesh(client, self.endpoint.addr), idle.unwrap_or_default())
            }
            // How to get there has to be found out first.
            Some(None) => return None,
            // What those in line wait for is not for who comes later.
            Some(Some(Way::Tunnels)) | None if !self.endpoint.line.is_empty() => return None,
            Some(Some(Way::Tunnels)) | None => self.take_here(now, replayable, speaks)?,
        };
        self.backend.cells.reuses.inc();
        Some(Dialled { connection, idle: Some(idle) })
    }

    /// A connection that is there and leads to the endpoint and nowhere else.
    fn take_here(
        &self,
        now: Instant,
        replayable: bool,
        speaks: Speaks,
    ) -> Option<(Connection, Duration)> {
        let protocol = self.protocol(speaks);
        let reuse = &self.backend.reuse;
        if protocol != UpstreamProtocol::Http1
            && let Some((client, idle)) = self.endpoint.h2.take(now, reuse, |()| true)
        {
            self.shares.set(true);
            return Some((Connection::H2(client), idle));
        }
        if protocol == UpstreamProtocol::Http2 {
            return None;
        }
        let (conn, papers, idle) = self.endpoint.pool.take(now, replayable, reuse)?;
        self.papers.set(Some(papers));
        Some((Connection::H1(conn), idle))
    }

    /// Makes a connection, or waits for one where no more may be made.
    ///
    /// Cancel safe: dropping it closes what was begun and leaves the line.
    ///
    /// # Errors
    ///
    /// When it cannot be made within the backend's connect timeout, when neither a place for it nor
    /// another one becomes free within as much time before, or when as many requests wait already as
    /// may. Nothing was sent.
    pub async fn dial(
        &self,
        buffers: &Buffers,
        host: &str,
        speaks: Speaks,
    ) -> Result<Dialled, ConnectError> {
        let result = self.dial_or_wait(buffers, host, speaks).await;
        match &result {
            Ok(Dialled { idle: Some(_), .. }) => self.backend.cells.reuses.inc(),
            Ok(Dialled { idle: None, .. }) => {
                self.backend.cells.connects.inc();
                self.signal(time::now(), Signal::Connected);
            }
            Err(error) => self.count_failure(error),
        }
        result
    }

    async fn dial_or_wait(
        &self,
        buffers: &Buffers,
        host: &str,
        speaks: Speaks,
    ) -> Result<Dialled, ConnectError> {
        let _pending = self.begin_pending()?;
        let mut patience = self.patience();
        if let Some(peer) = self.carrier(speaks) {
            let way = patience.spend(peer.find_way(self.started, buffers)).await?;
            if let Way::Requests(client, idle) = way {
                if self.counts_when_carried(speaks) {
                    let places = self.places().await?;
                    self.papers.set(Some(Papers::new(time::now(), places)));
                }
                let connection = Connection::Mesh(client, self.endpoint.addr);
                return Ok(Dialled { connection, idle });
            }
        }
        match self.room(speaks).await? {
            Room::Pooled(connection, idle) => Ok(Dialled { connection, idle: Some(idle) }),
            Room::Places(places) => {
                patience.spend(self.dial_or_share(buffers, host, speaks, places)).await
            }
        }
    }

    /// Makes a connection, unless somebody else has just made one that can be shared.
    async fn dial_or_share(
        &self,
        buffers: &Buffers,
        host: &str,
        speaks: Speaks,
        places: Places,
    ) -> Result<Dialled, ConnectError> {
        let protocol = self.protocol(speaks);
        let turn = match protocol {
            // What is made for somebody else is of no use.
            UpstreamProtocol::Http2 if self.backend.reuse.is_shared() => {
                self.endpoint.h2.turn().await
            }
            UpstreamProtocol::Http2
            | UpstreamProtocol::Http1
            | UpstreamProtocol::Auto
            | UpstreamProtocol::AsClient => None,
        };
        if turn.is_some()
            && let Some((connection, idle)) = self.take_here(time::now(), false, speaks)
        {
            return Ok(Dialled { connection, idle: Some(idle) });
        }
        let connection = self.dial_here(buffers, host, protocol, places).await?;
        Ok(Dialled { connection, idle: None })
    }

    /// Makes a connection that leads to the endpoint and nowhere else.
    async fn dial_here(
        &self,
        buffers: &Buffers,
        host: &str,
        protocol: UpstreamProtocol,
        places: Places,
    ) -> Result<Connection, ConnectError> {
        let settings = &self.backend.settings;
        let is_narrowed =
            protocol == UpstreamProtocol::Http1 && settings.protocol != UpstreamProtocol::Http1;
        let narrowed = match &self.backend.tls {
            Some(tls) if is_narrowed => Some(tls.http1()),
            _ => None,
        };
        let tls = narrowed.as_ref().or(self.backend.tls.as_deref());
        let first = self.first();
        let (io, agreed_h2) = dial::stream(&self.destination(tls, host, &first), buffers).await?;
        let spoken = dial::speak(io, agreed_h2, protocol, buffers).await?;
        let now = time::now();
        Ok(match spoken {
            Spoken::H1(conn) => {
                self.papers.set(Some(Papers::new(now, places)));
                Connection::H1(conn)
            }
            Spoken::H2(client, connection) => {
                dial::drive(*connection, settings.calling.pool.h2_keep_alive, places);
                if self.backend.reuse.is_shared() {
                    self.shares.set(true);
                    self.endpoint.h2.add(now, client.clone(), ());
                    // It has room for others.
                    self.endpoint.line.call_all();
                }
                Connection::H2(client)
            }
        })
    }

    /// Makes a byte stream (with TLS and in a tunnel, if the backend wants that) for TCP routes and
    /// upgrades; or waits until one may be made. It counts as a connection for as long as the lease
    /// lives.
    ///
    /// Cancel safe: dropping it closes what was begun and leaves the line.
    ///
    /// # Errors
    ///
    /// As [`Lease::dial`].
    pub async fn dial_stream(&self, buffers: &Buffers, host: &str) -> Result<Io, ConnectError> {
        let result = self.open_stream(buffers, host).await;
        match &result {
            Ok(_) => {
                self.backend.cells.connects.inc();
                // Nobody judges the bytes that follow; that it takes connections counts for it.
                self.signal(self.started, Signal::Success);
            }
            Err(error) => self.count_failure(error),
        }
        result
    }

    async fn open_stream(&self, buffers: &Buffers, host: &str) -> Result<Io, ConnectError> {
        let _pending = self.begin_pending()?;
        let places = self.places().await?;
        let settings = &self.backend.settings;
        let first = self.first();
        let to = self.destination(self.backend.tls.as_deref(), host, &first);
        let io = async {
            let stream = dial::stream(&to, buffers).await?;
            match &settings.calling.tunnel {
                None => Ok(stream.0),
                Some(wanted) => tunnel::open(stream, wanted, settings.protocol, buffers).await,
            }
        };
        let io = self.patience().spend(io).await?;
        self.papers.set(Some(Papers::new(time::now(), places)));
        Ok(io)
    }

    /// The time that it may take to make a connection.
    fn patience(&self) -> Patience {
        Patience(self.backend.settings.calling.pool.connect_timeout)
    }

    fn count_failure(&self, error: &ConnectError) {
        match error {
            ConnectError::Overflow(overflow) => self.backend.cells.refuse(*overflow),
            _ => self.backend.cells.connect_failures.inc(),
        }
    }

    /// What is spoken on a connection that leads to the endpoint and nowhere else.
    fn protocol(&self, speaks: Speaks) -> UpstreamProtocol {
        match (self.backend.settings.protocol, speaks) {
            (UpstreamProtocol::Auto | UpstreamProtocol::AsClient, Speaks::Http1) => {
                UpstreamProtocol::Http1
            }
            (UpstreamProtocol::AsClient, _) if self.backend.tls.is_some() => UpstreamProtocol::Auto,
            (UpstreamProtocol::AsClient, Speaks::Http2) => UpstreamProtocol::Http2,
            (UpstreamProtocol::AsClient, Speaks::Any) => UpstreamProtocol::Http1,
            (protocol, _) => protocol,
        }
    }

    /// The proxy that may take the request as it is and speak to the application itself: it does not
    /// have to pass on anything but a request, and speaks what the application is known to.
    fn carrier(&self, speaks: Speaks) -> Option<&PeerPool> {
        let as_client = self.backend.settings.protocol == UpstreamProtocol::AsClient;
        let fits = match speaks {
            Speaks::Any => true,
            Speaks::Http1 => false,
            Speaks::Http2 => !as_client,
        };
        let peer = self.endpoint.peer.as_deref()?;
        let is_bare = self.backend.tls.is_none() && self.introduces().is_none();
        (fits && is_bare).then_some(peer)
    }

    /// What a connection begins with.
    fn first(&self) -> Cow<'static, [u8]> {
        behalf::header(self.introduces(), self.behalf.get().map(|behalf| **behalf))
    }

    fn destination<'a>(
        &'a self,
        tls: Option<&'a ClientTls>,
        host: &'a str,
        first: &'a [u8],
    ) -> Destination<'a> {
        let through = self.endpoint.peer.as_deref().map(|peer| (peer, self.started));
        let keep_alive = self.backend.settings.calling.pool.keep_alive;
        Destination { addr: self.endpoint.addr, through, tls, host, first, keep_alive }
    }
}

/// Bounds on connections.
impl Lease {
    /// One more request waits for a connection, until the guard is dropped.
    fn begin_pending(&self) -> Result<Pending<'_>, Overflow> {
        let calling = &self.backend.settings.calling;
        let (backend, endpoint) = (&self.backend.shared.under_way, &self.endpoint.shared.under_way);
        let permits = [
            backend.enter(Bound::Pending, calling.limits.pending).map_err(Overflow::Backend)?,
            endpoint
                .enter(Bound::Pending, calling.endpoint_limits.pending)
                .map_err(Overflow::Endpoint)?,
        ];
        self.backend.cells.pending.inc();
        Ok(Pending { cells: &self.backend.cells, _permits: permits })
    }

    /// Whether a request that another proxy carries counts as a connection. It is one of HTTP/1.1
    /// where it ends, and that is what the bound is to protect.
    fn counts_when_carried(&self, speaks: Speaks) -> bool {
        let calling = &self.backend.settings.calling;
        let limits = [calling.limits, calling.endpoint_limits];
        limits.iter().any(|limits| limits.connections.is_some())
            && self.protocol(speaks) != UpstreamProtocol::Http2
    }

    fn gates(&self) -> [&Gate; 2] {
        [&self.endpoint.shared.under_way.connections, &self.backend.shared.under_way.connections]
    }

    fn try_places(&self) -> Option<Places> {
        let [endpoint, backend] = self.gates().map(|gate| gate.try_enter());
        Some([endpoint?, backend?])
    }

    /// Waits until one more connection may be made.
    async fn places(&self) -> Result<Places, Overflow> {
        match self.try_places() {
            Some(places) => Ok(places),
            None => self.queue(self.enter()).await,
        }
    }

    /// Waits until one more connection may be made, or one that is there becomes free.
    async fn room(&self, speaks: Speaks) -> Result<Room, Overflow> {
        match self.try_places() {
            Some(places) => Ok(Room::Places(places)),
            None => self.queue(self.wait_in_line(speaks)).await,
        }
    }

    /// Waits in line for as long as making a connection may take, and notes that it does: whose time
    /// is over meanwhile has not come to the endpoint.
    async fn queue<T>(&self, line: impl Future<Output = T>) -> Result<T, Overflow> {
        self.queues.set(true);
        let served = time::timeout(self.backend.settings.calling.pool.connect_timeout, line).await;
        self.queues.set(false);
        served.map_err(|time::Elapsed| self.busy())
    }

    async fn wait_in_line(&self, speaks: Speaks) -> Room {
        let mut turn = self.endpoint.line.join();
        let mut entering = pin!(self.enter());
        loop {
            tokio::select! {
                biased;
                places = &mut entering => return Room::Places(places),
                () = turn.called() => {}
                () = self.endpoint.h2.room() => {}
            }
            // What was used a moment ago is open still, whatever the request.
            if let Some((connection, idle)) = self.take_here(time::now(), false, speaks) {
                return Room::Pooled(connection, idle);
            }
        }
    }

    /// First at the endpoint, then at the backend: who waits for the second holds up nobody who does
    /// not wait for it as well.
    async fn enter(&self) -> Places {
        let [endpoint, backend] = self.gates();
        [self.enter_one(endpoint).await, self.enter_one(backend).await]
    }

    async fn enter_one(&self, gate: &Gate) -> Place {
        if let Some(place) = gate.try_enter() {
            return place;
        }
        let _wanted = gate.want();
        self.backend.make_room();
        self.backend.shared.wanted.notify_waiters();
        gate.enter().await
    }

    /// Why no connection was to be had.
    fn busy(&self) -> Overflow {
        let calling = &self.backend.settings.calling;
        let reached = |limit: Option<u32>| BoundReached {
            bound: Bound::Connections,
            limit: limit.unwrap_or(u32::MAX),
        };
        let at_endpoint = calling.endpoint_limits.connections;
        if at_endpoint.is_some() && self.endpoint.shared.under_way.connections.is_full() {
            return Overflow::Endpoint(reached(at_endpoint));
        }
        Overflow::Backend(reached(calling.limits.connections))
    }
}

// === impl Patience ===

impl Patience {
    /// Does a part of what it takes to make a connection.
    async fn spend<T>(
        &mut self,
        work: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let begun = time::now();
        let done = time::timeout(self.0, work).await;
        self.0 = self.0.saturating_sub(time::now() - begun);
        done.unwrap_or(Err(ConnectError::Timeout))
    }
}

// === impl Pending ===

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.cells.pending.dec();
    }
}

#[cfg(test)]
mod tests;
