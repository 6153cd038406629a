//! A response body that is compressed on its way.

use std::io::Write as _;
use std::task::{Context, Poll, ready};

use weft_http::error::WriteError;
use weft_http::pump::PumpError;
use weft_http::{BodyEvent, Leg};
use weft_model::policy::Coding;

/// Brotli's quality: the usual choice for answers made on the fly; higher costs far more time than
/// it saves bytes.
const BROTLI_QUALITY: u32 = 4;

/// The window of Brotli and Zstandard, as a power of two. Their usual ones, 4 and 2 MiB, would make
/// the memory of each response under way several times that, for a few percent of size.
const WINDOW: u32 = 18;

/// Size of the encoder's own buffer, bytes.
const BROTLI_BUFFER_BYTES: usize = 4 << 10;

/// Compressed bytes are handed on when there are this many, or when the upstream pauses.
const READY_BYTES: usize = 16 << 10;

/// Compresses one body.
pub(crate) struct Transform {
    encoder: Option<Encoder>,
    ready: Vec<u8>,
    sent: usize,
    total: u64,
    unflushed: bool,
}

enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

// === impl Transform ===

impl Transform {
    /// An encoder for one body. Falls back to gzip should zstd find no memory.
    pub(crate) fn new(coding: Coding) -> Box<Self> {
        let gzip = || {
            Encoder::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()))
        };
        let encoder = match coding {
            Coding::Gzip => gzip(),
            Coding::Brotli => Encoder::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_QUALITY,
                WINDOW,
            ))),
            Coding::Zstd => zstd().map_or_else(|_| gzip(), Encoder::Zstd),
        };
        Box::new(Self {
            encoder: Some(encoder),
            ready: Vec::new(),
            sent: 0,
            total: 0,
            unflushed: false,
        })
    }

    /// Compressed bytes sent so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.total
    }

    /// Moves what can be moved; ready when all has been.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Leg,
        to: &mut Leg,
    ) -> Poll<Result<(), PumpError>> {
        loop {
            while self.sent < self.ready.len() {
                let count =
                    ready!(to.poll_send(cx, &self.ready[self.sent..])).map_err(PumpError::Write)?;
                self.sent += count;
                self.total += count as u64;
            }
            self.ready.clear();
            self.sent = 0;
            let Some(encoder) = &mut self.encoder else {
                return to.poll_finish(cx, from.trailers()).map_err(PumpError::Write);
            };
            match from.poll_body(cx).map_err(PumpError::Read)? {
                Poll::Ready(BodyEvent::Data) => {
                    let chunk = from.chunk();
                    encoder.write(chunk).map_err(broken)?;
                    let count = chunk.len();
                    from.consume(count);
                    self.unflushed = true;
                    encoder.take(READY_BYTES, &mut self.ready);
                }
                Poll::Ready(BodyEvent::End) => {
                    if let Some(encoder) = self.encoder.take() {
                        self.ready = encoder.finish().map_err(broken)?;
                    }
                }
                Poll::Pending if self.unflushed => {
                    self.unflushed = false;
                    encoder.flush().map_err(broken)?;
                    encoder.take(0, &mut self.ready);
                }
                Poll::Pending => {
                    ready!(to.poll_flush(cx)).map_err(PumpError::Write)?;
                    return Poll::Pending;
                }
            }
        }
    }
}

impl std::fmt::Debug for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transform").field("total", &self.total).finish_non_exhaustive()
    }
}

fn zstd() -> std::io::Result<zstd::stream::write::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 0)?;
    encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(WINDOW))?;
    Ok(encoder)
}

fn broken(error: std::io::Error) -> PumpError {
    PumpError::Write(WriteError::Io(error))
}

// === impl Encoder ===

impl Encoder {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    /// Takes what has been compressed, if there is at least so much.
    fn take(&mut self, min: usize, out: &mut Vec<u8>) {
        let made = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        };
        if made.len() >= min {
            out.append(made);
        }
    }

    fn finish(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
