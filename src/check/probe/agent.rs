//! `AGENT_CHECK`, which keepalived does not have: an agent on the server, or near it, says whether and
//! how much traffic it may have. Over TCP, after a text if one is configured, or over HTTP.

use std::io;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::agent_reply::{self, LONGEST, Reply};
use super::{failure, http, lack, tcp};
use crate::check::engine::Outcome;
use crate::core::config::model::check::{AgentProbe, AgentRequest};

/// Asks. Connection and answer have the time of `connect_timeout` each.
pub async fn probe(agent: &AgentProbe, server: &str) -> Outcome {
    let patience = agent.connect.timeout.to_duration();
    let asked = async {
        let stream = tcp::open(&agent.connect).await?;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
        tokio::time::timeout(patience, ask(stream, agent)).await.map_err(late)?
    };
    // The reason is in the words themselves: nobody knows them from elsewhere.
    let said = match asked.await {
        Ok(said) => said,
        Err(error) => {
            return lack::unasked(&error).unwrap_or_else(|| {
                failure(format!("Agent of {server} does not answer: {error}."), None)
            });
        }
    };
    match agent_reply::parse(&said) {
        Ok(Reply::Up(weight)) => {
            let text = format!("Agent of {server} lets it have traffic.");
            Outcome::Success { text, weight, warning: None }
        }
        Ok(Reply::Down(why)) => failure(format!("Agent of {server} takes it out: {why}."), None),
        Err(fault) => failure(format!("Agent of {server} is not understood: {fault}."), None),
    }
}

async fn ask(mut stream: TcpStream, agent: &AgentProbe) -> io::Result<Vec<u8>> {
    match &agent.request {
        AgentRequest::Tcp { send } => {
            stream.write_all(send).await?;
            let mut said = Vec::new();
            // A line, or what there is when it ends.
            while said.len() < LONGEST && !said.contains(&b'\n') {
                let length = tcp::receive(&mut stream, |piece| {
                    said.extend_from_slice(piece);
                    piece.len()
                })
                .await?;
                if length == 0 {
                    break;
                }
            }
            Ok(said)
        }
        AgentRequest::Http { path } => {
            let host = agent.connect.destination;
            let request = format!(
                "GET {path} HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: {host}\r\n\r\n"
            );
            let answer = http::converse(stream, &request).await.map_err(broken)?;
            match answer.status() {
                Some(200..=299) => {
                    Ok(answer.body().get(..LONGEST).unwrap_or(answer.body()).to_vec())
                }
                status => {
                    let status = status.unwrap_or(0);
                    Err(io::Error::other(format!("the status is {status}")))
                }
            }
        }
    }
}

fn broken(trouble: http::Trouble) -> io::Error {
    match trouble {
        http::Trouble::Connect(error)
        | http::Trouble::Tls(error)
        | http::Trouble::Exchange(error) => error,
        http::Trouble::Timeout => io::ErrorKind::TimedOut.into(),
        http::Trouble::Answer(fault) => io::Error::other(fault.to_string()),
    }
}
