//! Reports of load in answers.

use weft_message::Fields;
use weft_resilience::load::LoadReport;
use weft_resilience::orca;

/// The report in a head or in trailers. What cannot be read is none.
pub(crate) fn read(fields: &Fields) -> Option<LoadReport> {
    match fields.get(orca::METRICS_BIN) {
        Some(value) => orca::read_binary(value),
        None => orca::read(fields.get_str(orca::METRICS)?),
    }
}

#[cfg(test)]
mod tests;
