//! `weftway demo-service`: a service of the demo's mesh, which knows as little of a mesh as any.
//!
//! It serves one protocol, and calls whom its standard input says: an order a line, an answer a
//! line.

mod call;
mod serve;

use std::io::BufRead as _;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;
use serde_json::json;
use weft_runtime::{task, worker};

use crate::args::{DemoServiceArgs, SampleProtocol};
use crate::print_line;

use call::{Caller, Load};

/// Serves and calls until its standard input ends.
pub(crate) fn run(args: &DemoServiceArgs) -> anyhow::Result<ExitCode> {
    worker::block_on(obey(args)).context("the runtime cannot be started")?
}

async fn obey(args: &DemoServiceArgs) -> anyhow::Result<ExitCode> {
    serve::start(args).await?;
    let caller = Rc::new(Caller::new(args.proxy.as_deref())?);
    let mut loads: Vec<Load> = Vec::new();
    print_line(&json!({ "ready": args.workload }).to_string());
    while let Some(line) = order().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["call", protocol, authority] => {
                match caller.call(speaks(protocol)?, authority).await {
                    Ok(answer) => answer,
                    Err(error) => json!({ "error": format!("{error:#}") }),
                }
            }
            ["load", protocol, authority] => {
                loads.push(Load::start(caller.clone(), speaks(protocol)?, authority));
                json!({})
            }
            ["counts"] => loads.iter().map(Load::counts).collect(),
            ["stop"] => {
                for load in &mut loads {
                    load.stop().await;
                }
                loads.drain(..).map(|load| load.counts()).collect()
            }
            _ => bail!("`{line}` is no order"),
        };
        print_line(&answer.to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// The next line of the standard input; `None` at its end.
async fn order() -> anyhow::Result<Option<String>> {
    let read = task::blocking(|| std::io::stdin().lock().lines().next().transpose()).await;
    Ok(read.map_err(|task::Ended| anyhow::anyhow!("the standard input cannot be read"))??)
}

fn speaks(name: &str) -> anyhow::Result<SampleProtocol> {
    SampleProtocol::from_str(name, false).map_err(|error| anyhow::anyhow!(error))
}
