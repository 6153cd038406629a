//! Measures the time from a write to the set being given out: `latency [ROUNDS]`.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::time::Duration;

use weft_runtime::time;
use weft_source_file::{FileSource, Following};

/// Files in the folder besides the one that changes.
const OTHERS: usize = 200;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let rounds: usize = std::env::args_os()
        .nth(1)
        .map_or(500, |text| text.to_str().and_then(|text| text.parse().ok()).unwrap_or(500));
    let folder = std::env::temp_dir().join("weft-source-file-latency");
    std::fs::create_dir_all(&folder)?;
    for number in 0..OTHERS {
        std::fs::write(folder.join(format!("other-{number}.yaml")), "a: 1\n".repeat(100))?;
    }
    let path = folder.join("changes.yaml");
    std::fs::write(&path, "round: none\n")?;
    let source = FileSource::new(vec![folder.clone()], Vec::new());
    let mut following = Following::start(source).map_err(std::io::Error::other)?;
    for (name, atomic) in [("rename over", true), ("write in place", false)] {
        let mut took: Vec<Duration> = Vec::with_capacity(rounds);
        for round in 0..rounds {
            let text = format!("round: {name} {round}\n");
            let start = time::now();
            if atomic {
                std::fs::write(folder.join("temporary"), &text)?;
                std::fs::rename(folder.join("temporary"), &path)?;
            } else {
                std::fs::write(&path, &text)?;
            }
            while !following.next().await.documents.iter().any(|doc| *doc.text == *text) {}
            took.push(time::now() - start);
            time::sleep(Duration::from_millis((round % 7) as u64)).await;
        }
        took.sort_unstable();
        println!(
            "{name}: p50 {:?}, p99 {:?}, max {:?}",
            took[rounds / 2],
            took[rounds * 99 / 100],
            took[rounds - 1]
        );
    }
    std::fs::remove_dir_all(&folder)
}
