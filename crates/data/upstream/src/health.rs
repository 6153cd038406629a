use std::sync::Arc; use crate::Prepared;
pub struct Prober; impl Prober { pub fn new(_: crate::shared::Shared, _: &weft_runtime::metrics::Registry)->Self{Self} pub async fn run(self, _: tokio::sync::watch::Receiver<Arc<Prepared>>) {} }
