//! Documents and options: from files and arguments to what `compile` takes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use weft_compile::{EntryPoint, Options, PemPair, Report};
use weft_model::identity::TrustDomain;
use weft_model::listener::Limits;
use weft_net::listen::{self, Reservation};
use weft_resilience::settings::{BudgetSettings, RecentBudget};
use weft_resources::{Pos, Problem, ResourceSet, Severity};
use weft_runtime::time;
use weft_source_file::{FileSource, Following};

use crate::args::{DocumentArgs, EncodedSlash, LimitArgs, PercentOrOff};
use crate::documents::Documents;

/// Everything that a compilation depends on.
pub(crate) struct Source {
    following: Following,
    paths: Vec<PathBuf>,
    pair: Option<(PathBuf, PathBuf)>,
    /// Files that documents name, besides the pair.
    referenced: Vec<PathBuf>,
    documents: Documents,
    options: Options,
    /// Ports that the system was asked for; the same for the life of the process.
    _reserved: Vec<Reservation>,
}

// === impl Source ===

impl Source {
    /// Takes what was typed and reads it.
    pub(crate) fn new(documents: &DocumentArgs, limits: &LimitArgs) -> anyhow::Result<Self> {
        let pair = documents.cert.clone().zip(documents.key.clone());
        let paths = documents.files.clone();
        let mut reserved = Vec::new();
        let options = options(documents, limits, &mut reserved)?;
        let mut source = Self {
            following: follow(&paths, pair.as_ref(), &[])?,
            paths,
            pair,
            referenced: Vec::new(),
            documents: Documents::default(),
            options,
            _reserved: reserved,
        };
        source.read()?;
        Ok(source)
    }

    /// The same where names of services end in `domain`, and ServiceAccounts are of `trust_domain`.
    pub(crate) fn in_mesh(mut self, domain: &str, trust_domain: TrustDomain) -> Self {
        self.options.domain = domain.into();
        self.options.trust_domain = trust_domain;
        self
    }

    /// Waits until some file is another, and reads what changed.
    ///
    /// Cancel safe: what was noticed is read by the next call.
    pub(crate) async fn changed(&mut self) -> anyhow::Result<()> {
        self.following.next().await;
        self.read()
    }

    /// The documents as they are.
    pub(crate) fn set(&self) -> &ResourceSet {
        self.documents.set()
    }

    /// The options as they are; files that documents name are part of them.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// What is odd about the paths themselves: one that holds no document is most often a slip.
    pub(crate) fn remarks(&self) -> Vec<Problem> {
        let holds = |path: &Path| {
            self.set().items().iter().any(|placed| Path::new(&*placed.item.file).starts_with(path))
        };
        let empty = self.paths.iter().filter(|path| !holds(path));
        let remark = |path: &PathBuf| {
            let file = Arc::from(path.display().to_string());
            Problem::new(Severity::Warning, &file, Pos::default(), "", "no document is in it")
                .with_fix("documents are files of YAML or JSON: .yaml, .yml and .json")
        };
        empty.map(remark).collect()
    }

    /// What cannot be read, in words.
    pub(crate) fn unreadable(&self) -> Vec<String> {
        let problems = self.following.files().problems.iter();
        problems.map(ToString::to_string).collect()
    }

    /// A problem with the line it points at.
    pub(crate) fn render(&self, problem: &Problem) -> String {
        self.documents.render(problem)
    }

    /// A report with the lines it points at.
    pub(crate) fn render_report(&self, report: &Report) -> String {
        weft_compile::render(report, |problem| self.set().line_of(problem))
    }

    fn read(&mut self) -> anyhow::Result<()> {
        self.documents.read(self.following.files());
        let referenced: Vec<PathBuf> = weft_compile::referenced_files(self.set())
            .into_iter()
            .map(|path| PathBuf::from(&*path))
            .collect();
        if referenced != self.referenced {
            self.following = follow(&self.paths, self.pair.as_ref(), &referenced)?;
            self.referenced = referenced;
            self.documents.read(self.following.files());
        }
        self.read_extra()
    }

    fn read_extra(&mut self) -> anyhow::Result<()> {
        let files = self.following.files();
        let referenced = self.referenced.iter().filter_map(|path| {
            let bytes = files.extra(path)?.clone();
            Some((path.display().to_string().into(), bytes))
        });
        self.options.files = referenced.collect();
        let Some((chain, key)) = &self.pair else { return Ok(()) };
        let read = |path: &Path| {
            let bytes = files.extra(path).cloned();
            bytes.with_context(|| format!("{} cannot be read", path.display()))
        };
        match (read(chain), read(key)) {
            (Ok(chain_pem), Ok(key_pem)) => {
                let origin = chain.display().to_string().into();
                let pair = PemPair { origin, chain: chain_pem, key: key_pem };
                self.options.certificates = vec![pair];
            }
            // The files are being replaced, or are gone: what was read before stays, `unreadable`
            // names the file, and whatever else has changed goes on.
            (Err(_), _) | (_, Err(_)) if !self.options.certificates.is_empty() => {}
            (Err(error), _) | (_, Err(error)) => return Err(error),
        }
        Ok(())
    }
}

fn follow(
    paths: &[PathBuf],
    pair: Option<&(PathBuf, PathBuf)>,
    referenced: &[PathBuf],
) -> anyhow::Result<Following> {
    let pair = pair.into_iter().flat_map(|(chain, key)| [chain.clone(), key.clone()]);
    let extra = pair.chain(referenced.iter().cloned()).collect();
    Following::start(FileSource::new(paths.to_vec(), extra)).context("files cannot be watched")
}

fn options(
    documents: &DocumentArgs,
    limits: &LimitArgs,
    reserved: &mut Vec<Reservation>,
) -> anyhow::Result<Options> {
    let mut port = |ip, port| -> anyhow::Result<u16> {
        if port != 0 {
            return Ok(port);
        }
        let reservation = listen::reserve(ip).context("no port can be had")?;
        let port = reservation.port();
        reserved.push(reservation);
        Ok(port)
    };
    let mut entry_points = Vec::new();
    for (name, mut addr) in documents.listen.entry_points().map_err(anyhow::Error::msg)? {
        addr.set_port(port(addr.ip(), addr.port())?);
        entry_points.push(EntryPoint { name: name.into(), addr, tls: false });
    }
    let mut port_map = HashMap::new();
    for (from, to) in &documents.listen.port_map {
        port_map.insert(*from, port(documents.listen.bind, *to)?);
    }
    let (chain, key) = weft_tls::certificate::self_signed(&["localhost"], time::wall());
    let mut options = Options::new(entry_points);
    options.self_signed = Some(PemPair {
        origin: "self-signed default".into(),
        chain: Arc::from(chain.into_bytes()),
        key: Arc::from(key.into_bytes()),
    });
    for backend in &documents.backend {
        let key = (backend.name.as_str().into(), backend.port);
        options.backends.insert(key, backend.addrs.clone());
    }
    options.port_map = port_map;
    options.bind_address = documents.listen.bind;
    options.allow_cross_namespace = documents.allow_cross_namespace;
    options.allow_external_name_services = documents.allow_external_names;
    options.slow_start = documents.slow_start;
    options.retry_budget = retry_budget(documents.retry_budget);
    options.path_rules.allow_encoded_slash = documents.encoded_slash == EncodedSlash::Keep;
    options.forwarded_from = documents.trust_forwarded_from.clone();
    options.proxy_protocol_from = documents.trust_proxy_protocol_from.clone();
    options.limits = limits_of(limits);
    Ok(options)
}

fn retry_budget(written: PercentOrOff) -> Option<BudgetSettings> {
    match written {
        PercentOrOff::Off => None,
        PercentOrOff::Percent(percent) => {
            let ratio = f64::from(percent) / 100.0;
            Some(BudgetSettings::Recent(RecentBudget { ratio, ..RecentBudget::DEFAULT }))
        }
    }
}

fn limits_of(args: &LimitArgs) -> Limits {
    // In full, so that a new argument cannot be forgotten.
    let LimitArgs {
        head_timeout,
        handshake_timeout,
        idle_timeout,
        body_idle_timeout,
        head_bytes_max,
        head_fields_max,
        target_bytes_max,
        connections_max,
        h2_streams_max,
        h2_resets_max,
        h2_control_frames_max,
        connection_memory_bytes_max,
        requests_per_connection_max,
    } = args;
    let default = Limits::DEFAULT;
    Limits {
        head_timeout: head_timeout.unwrap_or(default.head_timeout),
        handshake_timeout: handshake_timeout.unwrap_or(default.handshake_timeout),
        idle_timeout: idle_timeout.unwrap_or(default.idle_timeout),
        body_idle_timeout: body_idle_timeout.unwrap_or(default.body_idle_timeout),
        head_bytes_max: head_bytes_max.unwrap_or(default.head_bytes_max),
        head_fields_max: head_fields_max.unwrap_or(default.head_fields_max),
        target_bytes_max: target_bytes_max.unwrap_or(default.target_bytes_max),
        connections_max: connections_max.unwrap_or(default.connections_max),
        h2_streams_max: h2_streams_max.unwrap_or(default.h2_streams_max),
        h2_resets_max: h2_resets_max.unwrap_or(default.h2_resets_max),
        h2_control_frames_max: h2_control_frames_max.unwrap_or(default.h2_control_frames_max),
        connection_memory_bytes_max: connection_memory_bytes_max
            .unwrap_or(default.connection_memory_bytes_max),
        requests_per_connection_max: requests_per_connection_max
            .unwrap_or(default.requests_per_connection_max),
        ..default
    }
}
