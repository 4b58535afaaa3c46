//! Listening for calls until the end, and the end itself.

use std::convert::Infallible;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;

/// Calls of one connection at a time.
const STREAMS_MAX: u32 = 1_024;
/// Bytes on their way to us that we have not looked at yet, per call and per connection: a whole batch at full speed.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// A client that has said nothing for this long is asked whether it is there, and given up after the same time again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long calls may take to end once the service should. What was acknowledged is done; what was not is unknown to its caller.
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// Why a service does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotServed {
    /// Everybody on the network could do everything.
    Open(String),
    /// It can't listen, or has ended.
    Ended(String),
}

/// Serves calls until `shutdown`, then lets running ones end. Without an access list everybody may do everything, so the listener must
/// be on loopback. `name` is what its keys are called in the configuration.
pub async fn serve<S>(
    listener: TcpListener,
    name: &'static str,
    service: S,
    has_access_list: bool,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NotServed>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let address = listener.local_addr().map_err(|error| NotServed::Ended(format!("The {name} service can't listen: {error}.")))?;
    check_listener(name, address.ip().is_loopback(), has_access_list, &address.to_string()).map_err(NotServed::Open)?;
    if !has_access_list {
        tracing::warn!(service = name, %address, "the service has no access list: every process on this machine may do everything");
    }
    let (stop, stopped) = watch::channel(false);
    let signal = async move {
        shutdown.await;
        stop.send_replace(true);
    };
    let serving = tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), signal);
    tracing::info!(service = name, %address, "the service listens");
    tokio::select! {
        served = serving => served.map_err(|error| NotServed::Ended(format!("The {name} service ended: {error}."))),
        () = drained(stopped) => {
            tracing::warn!(service = name, "some calls did not end in time; their callers don't know what became of them");
            Ok(())
        }
    }
}

fn check_listener(name: &str, is_loopback: bool, has_access_list: bool, address: &str) -> Result<(), String> {
    if is_loopback || has_access_list {
        return Ok(());
    }
    Err(format!(
        "The {name} service would let everybody on the network of {address} do everything. Give it an access list ({name}.access), or listen on 127.0.0.1."
    ))
}

/// Waits until calls have had their time to end.
async fn drained(mut stopped: watch::Receiver<bool>) {
    // The sender lives in the serving future, which is waited for beside this one.
    if stopped.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(DRAIN_MAX).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_access_list_nobody_but_this_machine_can_call() {
        for (is_loopback, has_access_list, wanted) in [(true, true, true), (true, false, true), (false, true, true), (false, false, false)]
        {
            let answer = check_listener("feeds", is_loopback, has_access_list, "10.0.0.5:1");
            assert_eq!(answer.is_ok(), wanted);
            if let Err(message) = answer {
                assert!(message.contains("feeds.access") && message.contains("10.0.0.5:1"), "{message}");
            }
        }
    }
}
