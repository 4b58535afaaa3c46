//! `corkboard status`: asks the running server how it is.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use discovery::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::config::Config;
use crate::table;

/// A server on this machine answers within milliseconds.
const TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

#[derive(Args)]
pub struct StatusArgs {
    /// Prints JSON for machines.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: &StatusArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let members = Registry::open(&config.discovery.url)?.members("web")?;
    let Some(member) = members.first() else {
        if args.json {
            println!("{}", json!({ "running": false }));
        } else {
            println!("No server is running on {}. `corkboard serve` starts one.", config.data.display());
        }
        return Ok(ExitCode::FAILURE);
    };
    let host = match member.service_endpoint.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let answer = tokio::time::timeout(TIME_MAX, ready(host, member.service_endpoint.port));
    let ready = answer.await.context("the server did not answer in time")?.context("the server did not answer")?;
    let is_ready = ready["ready"].as_bool().unwrap_or(false);
    if args.json {
        println!(
            "{}",
            json!({ "running": true, "pid": member.pid, "host": host, "port": member.service_endpoint.port, "ready": is_ready, "parts": ready["parts"] })
        );
    } else {
        println!(
            "The server (process {}) listens on {host}:{} and is {}.\n",
            member.pid,
            member.service_endpoint.port,
            if is_ready { "ready" } else { "NOT ready" }
        );
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let parts = ready["parts"].as_object().cloned().unwrap_or_default();
        let rows: Vec<_> = parts.iter().map(|(name, part)| vec![name.clone(), text(&part["state"]), text(&part["reason"])]).collect();
        print!("{}", table::render(&["part", "state", "reason"], &rows));
    }
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks `/readyz`. One request on loopback needs no HTTP client.
async fn ready(host: &str, port: u16) -> anyhow::Result<Value> {
    let mut stream = tokio::net::TcpStream::connect((host, port)).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
    let body = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?.1;
    Ok(serde_json::from_str(body)?)
}
