//! A peer for tests: any routes, on a port that the system gives.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::envelope::Sender;
use super::routes::Routes;
use crate::limits::CLIENT_BUFFER_BYTES;
use crate::net;
use crate::net::gate::Gate;
use crate::net::secured::Guard;
use crate::net::serve::ServeLimits;
use crate::rt::RaftRt;
use crate::trust::PeerTrust;

/// Where `routes` are served by `sender`, until the token is cancelled.
pub(crate) async fn serve(
    rt: &RaftRt,
    routes: Routes,
    sender: Sender,
) -> (String, CancellationToken) {
    let service = routes.service_for(sender, Gate::default());
    let listener = net::listen("127.0.0.1:0".parse().unwrap(), "test").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let guard = Guard::Peers(PeerTrust::Open);
    let limits = ServeLimits {
        connections_max: 64,
        connections_per_client_max: 64,
        buffer_bytes: CLIENT_BUFFER_BYTES,
        write_pace: None,
        header_read_max: Duration::from_secs(5),
        linger: Duration::ZERO,
        drain_max: Duration::ZERO,
    };
    let stop = CancellationToken::new();
    let until = stop.clone();
    rt.spawn("peer", async move {
        net::serve::serve(listener, None, guard, limits, until, service).await;
    });
    (addr, stop)
}
