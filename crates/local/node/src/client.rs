//! The caller's side of the node's Unix socket.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

use crate::Name;
use crate::api::channel::Channel;
use crate::api::{Answer, Refusal, Registered, Request, Run};
use crate::attest::{Attested, Caller};
use crate::life::{Event, Outcome};

pub use crate::api::channel::ChannelError;

/// A connection to a node.
#[derive(Debug)]
pub struct Client(Channel);

/// A workload that was started by this client.
#[derive(Debug)]
pub struct Running {
    channel: Channel,
    registered: Registered,
}

/// What a node tells of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Something happened.
    Event(Event),
    /// It has ended, and everything of it is removed.
    Ended(Outcome),
}

/// A node did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no node.
    #[error("no node listens on {path}; start one with `weftway up`", path = .path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The node refuses.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection failed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The node went away or says something else than it should.
    #[error("the node went away without an answer")]
    Gone,
}

// === impl Client ===

impl Client {
    /// Connects to the socket of a node.
    ///
    /// # Errors
    ///
    /// [`ClientError::Connect`].
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).await;
        let stream = stream.map_err(|source| ClientError::Connect { path: path.into(), source })?;
        Ok(Self(Channel::new(stream)))
    }

    /// Starts a workload on the given standard input, output and error.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn run(
        mut self,
        run: Run,
        stdin: impl AsFd,
        stdout: impl AsFd,
        stderr: impl AsFd,
    ) -> Result<Running, ClientError> {
        let descriptors = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        self.0.send(&Request::Run(Box::new(run)), &descriptors).await?;
        match self.answer().await? {
            Answer::Started(registered) => Ok(Running { channel: self.0, registered: *registered }),
            _ => Err(ClientError::Gone),
        }
    }

    /// The workloads that the caller may see.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn list(&mut self) -> Result<Vec<Registered>, ClientError> {
        match self.ask(&Request::List).await? {
            Answer::Workloads(workloads) => Ok(workloads),
            _ => Err(ClientError::Gone),
        }
    }

    /// Asks a workload to end; the second time it is ended at once.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn stop(&mut self, workload: Name) -> Result<(), ClientError> {
        self.ask(&Request::Stop { workload }).await.map(drop)
    }

    /// Passes a signal to an application.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn signal(&mut self, workload: Name, signal: i32) -> Result<(), ClientError> {
        self.ask(&Request::Signal { workload, signal }).await.map(drop)
    }

    /// Puts a proxy that runs `program` in the place of a workload's, and returns when it is ready.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; the proxy that there was goes on then.
    pub async fn upgrade(&mut self, workload: Name, program: &Path) -> Result<(), ClientError> {
        let program = program.to_path_buf();
        self.ask(&Request::Upgrade { workload, program }).await.map(drop)
    }

    /// Has all proxies that are started from now on run that program.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn set_program(&mut self, program: &Path) -> Result<(), ClientError> {
        self.ask(&Request::Program { program: program.to_path_buf() }).await.map(drop)
    }

    /// Whose process that is.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn who(&mut self, caller: Caller) -> Result<Option<Attested>, ClientError> {
        let Caller { pid, uid } = caller;
        match self.ask(&Request::Who { pid, uid }).await? {
            Answer::Who(attested) => Ok(attested),
            _ => Err(ClientError::Gone),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Answer, ClientError> {
        self.0.send(request, &[]).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<Answer, ClientError> {
        match self.0.receive().await? {
            Some(Answer::Refused(refusal)) => Err(refusal.into()),
            Some(answer) => Ok(answer),
            None => Err(ClientError::Gone),
        }
    }
}

// === impl Running ===

impl Running {
    /// What the node has made of it: its name, its addresses.
    pub fn registered(&self) -> &Registered {
        &self.registered
    }

    /// What happens next to it.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; the workload is stopped then, unless it was detached.
    pub async fn next(&mut self) -> Result<Notice, ClientError> {
        loop {
            match self.channel.receive().await? {
                Some(Answer::Event(event)) => return Ok(Notice::Event(event)),
                Some(Answer::Ended(outcome)) => return Ok(Notice::Ended(outcome)),
                Some(Answer::Refused(refusal)) => return Err(refusal.into()),
                // Answers to signals and stops.
                Some(_) => {}
                None => return Err(ClientError::Gone),
            }
        }
    }

    /// Asks it to end; the second time it is ended at once.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn stop(&mut self) -> Result<(), ClientError> {
        let workload = self.registered.name.clone();
        Ok(self.channel.send(&Request::Stop { workload }, &[]).await?)
    }

    /// Passes a signal to the application.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn signal(&mut self, signal: i32) -> Result<(), ClientError> {
        let workload = self.registered.name.clone();
        Ok(self.channel.send(&Request::Signal { workload, signal }, &[]).await?)
    }
}
