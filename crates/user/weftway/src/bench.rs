//! `weftway bench`: prints what the load generator measures.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use weft_load::{Options, Progress, Protocol, Report, Trust};

use crate::args::{BenchArgs, BenchFormat};
use crate::{print_error, print_line};

/// Loads the URL. The exit code is 1 when a request failed.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let options = options(args)?;
    // Draws on a terminal only, and on standard error, so that results can be piped.
    let bar = ProgressBar::new(1000).with_style(style()?);
    let report = weft_load::run(&options, |progress| {
        bar.set_position((share(&progress) * 1000.0) as u64);
        bar.set_message(format!("{} answered, {} failed", progress.answered, progress.failed));
    })?;
    bar.finish_and_clear();
    match args.output {
        BenchFormat::Text => print_line(&report.render()),
        BenchFormat::Json => {
            print_line(&serde_json::to_string_pretty(&report)?);
            say_failures(&report);
        }
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Standard output is likely a file that nobody looks at when the exit code is 1.
fn say_failures(report: &Report) {
    for (kind, count) in &report.errors {
        let sample = report.error_samples.get(kind).map_or("", String::as_str);
        let advice = match kind.as_str() {
            "tls" => " (see --insecure)",
            _ => "",
        };
        print_error(&anyhow!("{count} requests failed ({kind}): {sample}{advice}"));
    }
}

fn options(args: &BenchArgs) -> anyhow::Result<Options> {
    let headers = args.header.iter().map(|header| {
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("header `{header}` has no colon: write `name: value`"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    });
    let body = match (&args.body, &args.body_file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(path)) => std::fs::read(path)
            .with_context(|| format!("body file {} cannot be read", path.display()))?,
        (None, None) => Vec::new(),
    };
    ensure!(args.connections > 0, "at least one connection is needed (-c)");
    Ok(Options {
        method: args.method.clone(),
        headers: headers.collect::<anyhow::Result<_>>()?,
        body,
        connections: args.connections,
        requests: args.requests,
        duration: args.duration,
        rate_per_sec: args.rate,
        protocol: if args.h2 { Protocol::Http2 } else { Protocol::Http1 },
        streams: args.streams,
        keep_alive: !args.disable_keepalive,
        timeout: args.timeout,
        threads: args.threads,
        trust: if args.insecure { Trust::Insecure } else { Trust::System },
        ..Options::new(&args.url)
    })
}

fn share(progress: &Progress) -> f64 {
    let by_count =
        progress.requests.map(|all| (progress.answered + progress.failed) as f64 / all as f64);
    let by_time =
        progress.duration.map(|all| progress.elapsed.as_secs_f64() / all.as_secs_f64().max(1e-9));
    by_count.unwrap_or(0.0).max(by_time.unwrap_or(0.0)).min(1.0)
}

fn style() -> anyhow::Result<ProgressStyle> {
    Ok(ProgressStyle::with_template("{elapsed_precise} {bar:40} {percent}% {msg}")?)
}
