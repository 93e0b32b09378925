//! `genhash`: fetches a page as HTTP_GET would, and prints the sum for its `digest`.
//!
//! Options and what is printed are those of keepalived's tool, but for two things. The exit status
//! is 1, not 0, when there is no sum to print. Offsets of a long body are its own; keepalived's begin
//! anew with each piece that it read. Of a body longer than a megabyte only so much is shown. `-P 2`
//! is ours.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use lexopt::Arg::{Long, Short};

use super::probe::answer::Answer;
use super::probe::http::{self, Trouble};
use crate::core::config::model::check::{
    Connect, ConnectOptions, HttpProbe, HttpVersion, TlsIdentity, TlsProbe, Url,
};
use crate::core::config::values;
use crate::core::runtime;
use crate::core::time::Interval;

const TIMEOUT: Interval = Interval::from_secs(5);
const LONGEST_TIMEOUT: Interval = Interval::from_secs(4_294);

const HELP: &str = "
  -s, --server ADDRESS          IP address of the server
  -p, --port PORT               its port
  -u, --url PATH                what to ask for
  -V, --use-virtualhost NAME    name for the Host header
  -S, --use-ssl                 over TLS
  -I, --use-sni                 with the virtual host's name in the TLS handshake
  -P, --protocol VERSION        1.0 (default), 1.0c (with Connection: close), 1.1, 2
  -m, --fwmark N                firewall mark of our packets
  -t, --timeout SECONDS         for the connection, and again for the answer (default 5)
  -v, --verbose                 show the answer and the time it took
  -h, --help                    this text
";

/// Runs with the words after the program's name; `name` is how it was called. Returns the exit
/// status: 0 when a sum was printed.
pub fn run(name: &str, words: impl IntoIterator<Item = OsString>) -> u8 {
    let request = match parse(words) {
        Ok(request) => request,
        Err(mistake) => {
            let line = if mistake.is_empty() { mistake } else { format!("{mistake}\n") };
            eprint!("{line}Usage: {name} COMMAND [OPTIONS]\n{HELP}");
            return 1;
        }
    };
    let text = match fetch(&request) {
        Ok((answer, micros)) => (0, printed(&request, &answer, micros)),
        Err(why) => (1, format!("{why}\n").into_bytes()),
    };
    // Whoever closed our output does not want to know.
    let _ = std::io::stdout().write_all(&text.1);
    text.0
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    probe: HttpProbe,
    url: Url,
    verbose: bool,
}

fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut parser = lexopt::Parser::from_args(words);
    let (mut server, mut port, mut path, mut virtualhost) = (None, None, None, None);
    let (mut tls, mut sni, mut verbose, mut fwmark) = (false, false, false, 0);
    let (mut version, mut timeout) = (HttpVersion::V1_0, TIMEOUT);
    // keepalived says nothing of an option that it does not know, or that lacks its value.
    let silent = |_| String::new();
    while let Some(word) = parser.next().map_err(silent)? {
        let letter = match word {
            Short(letter) => letter,
            Long(name) => letter_of(name).ok_or_else(String::new)?,
            lexopt::Arg::Value(word) => {
                return Err(format!("Unexpected argument(s): {}", word.to_string_lossy()));
            }
        };
        let mut text = || {
            let value = parser.value().map_err(silent)?;
            value.into_string().map_err(|_| String::new())
        };
        match letter {
            's' => {
                let word = text()?;
                let address: IpAddr = values::address(&word)
                    .map_err(|_| format!("server should be an IP, not {word}"))?;
                server = Some(address);
            }
            'p' => {
                let word = text()?;
                port =
                    Some(values::port(&word).map_err(|_| format!("invalid port number '{word}'"))?);
            }
            'u' => path = Some(text()?),
            'V' => virtualhost = Some(text()?),
            'S' => tls = true,
            'I' => sni = true,
            'v' => verbose = true,
            'm' => {
                let word = text()?;
                fwmark = values::number(&word, 0..=u32::MAX)
                    .map_err(|_| format!("invalid fwmark '{word}'"))?;
            }
            't' => {
                let word = text()?;
                timeout = values::seconds(&word, Interval::from_micros(1)..=LONGEST_TIMEOUT)
                    .map_err(|_| format!("invalid timeout '{word}'"))?;
            }
            'P' => {
                let word = text()?;
                version = match word.as_str() {
                    "1.0" => HttpVersion::V1_0,
                    "1.0c" | "1.0C" => HttpVersion::V1_0Close,
                    "1.1" => HttpVersion::V1_1,
                    "2" => HttpVersion::V2,
                    _ => return Err(format!("invalid HTTP protocol version '{word}'")),
                };
            }
            _ => return Err(String::new()),
        }
    }
    let (Some(server), Some(port), Some(path)) = (server, port, path) else {
        return Err(String::new());
    };
    let options = ConnectOptions { fwmark, ..ConnectOptions::default() }.into();
    let connect = Connect { destination: SocketAddr::new(server, port), timeout, options };
    let url = Url {
        path,
        virtualhost,
        digest: None,
        status: Vec::new(),
        regex: None,
        orderly_close: false,
    };
    let tls = tls.then(|| {
        TlsProbe { sni, name: None, verify: false, expiry_warning: Interval::ZERO }.into()
    });
    let probe =
        HttpProbe { connect, tls, version, urls: vec![url.clone()].into(), fast_recovery: false };
    Ok(Request { probe, url, verbose })
}

fn letter_of(name: &str) -> Option<char> {
    match name {
        "server" => Some('s'),
        "port" => Some('p'),
        "url" => Some('u'),
        "use-virtualhost" => Some('V'),
        "use-ssl" => Some('S'),
        "use-sni" => Some('I'),
        "verbose" => Some('v'),
        "fwmark" => Some('m'),
        "timeout" => Some('t'),
        "protocol" => Some('P'),
        _ => None,
    }
}

/// The answer and how long it took, microseconds.
fn fetch(request: &Request) -> Result<(Answer, u64), String> {
    let builder = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let event_loop = builder.map_err(|error| error.to_string())?;
    let began = runtime::now();
    let identity = TlsIdentity::default();
    let fetching = http::fetch(&request.probe, &request.url, &identity);
    match event_loop.block_on(fetching) {
        Ok((answer, _)) => {
            let took = runtime::now().as_nanos().saturating_sub(began.as_nanos());
            Ok((answer, took / 1000))
        }
        Err(Trouble::Connect(_)) => Err("Connection failed".to_owned()),
        Err(Trouble::Tls(_)) => Err(format!(
            "SSL handshake/communication error connecting to {}",
            request.probe.connect.destination
        )),
        Err(Trouble::Timeout) => Err("Timeout reading the answer".to_owned()),
        Err(Trouble::Exchange(error)) => Err(format!("Read error: {error}")),
        Err(Trouble::Answer(fault)) => Err(format!("Read error: {fault}")),
    }
}

fn printed(request: &Request, answer: &Answer, micros: u64) -> Vec<u8> {
    let digest = answer.digest();
    let sum = http::hex(&digest);
    if !request.verbose {
        return format!("{sum}\n").into_bytes();
    }
    let mut text = Vec::new();
    text.extend(b"-----------------------[    HTTP Header Buffer    ]-----------------------\n");
    text.extend(dump(answer.head()).into_bytes());
    text.extend(b"-----------------------[ HTTP Header Ascii Buffer ]-----------------------\n");
    text.extend(answer.head());
    text.push(b'\n');
    if !answer.body().is_empty() {
        text.extend(
            b"-----------------------[        HTML Buffer        ]-----------------------\n",
        );
        text.extend(dump(answer.body()).into_bytes());
    }
    text.extend(b"\n-----------------------[    HTML hash resulting    ]-----------------------\n");
    text.extend(dump(&digest).into_bytes());
    let end = format!(
        "-----------------------[ HTML hash final resulting ]-----------------------\n{sum}\n\n\
         Global response time for [{}] = {micros} usecs\n",
        request.url.path
    );
    text.extend(end.into_bytes());
    text
}

/// Sixteen bytes a line: decimal offset, hexadecimal with a hyphen in the middle, text.
fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, row) in bytes.chunks(16).enumerate() {
        // Writing to a String cannot fail, here and below.
        let _ = write!(text, "{:04}  ", line * 16);
        for place in 0..16 {
            let _ = match row.get(place) {
                Some(byte) => write!(text, "{byte:02x} "),
                None => write!(text, "   "),
            };
            if place == 7 {
                text.push_str("- ");
            }
        }
        text.push_str("  ");
        for place in 0..16 {
            text.push(match row.get(place).copied() {
                Some(byte @ b' '..=b'~') => char::from(byte),
                Some(_) => '.',
                None => ' ',
            });
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_are_those_of_the_tool() {
        let request =
            words("-SIv -s ::1 --port=443 -u /x -V example.org -P 1.0c -m 7 -t 2.5").unwrap();
        assert_eq!(request.probe.connect.destination, "[::1]:443".parse().unwrap());
        assert_eq!(request.probe.connect.timeout, Interval::from_millis(2500));
        assert_eq!(request.probe.connect.options.fwmark, 7);
        assert_eq!(request.probe.version, HttpVersion::V1_0Close);
        assert!(request.probe.tls.is_some_and(|tls| tls.sni) && request.verbose);
        assert_eq!(request.url.virtualhost.as_deref(), Some("example.org"));
    }

    #[test]
    fn mistakes_are_told_in_its_words() {
        for (line, mistake) in [
            ("-s nohost -p 80 -u /", "server should be an IP, not nohost"),
            ("-s ::1 -p 80x -u /", "invalid port number '80x'"),
            ("-s ::1 -p 80 -u / -P 3", "invalid HTTP protocol version '3'"),
            ("-s ::1 -p 80 -u / -m z", "invalid fwmark 'z'"),
            ("-s ::1 -p 80 -u / -t z", "invalid timeout 'z'"),
            ("-s ::1 -p 80 -u / more", "Unexpected argument(s): more"),
            ("-s ::1 -p 80", ""),
            ("-s", ""),
            ("-q", ""),
            ("", ""),
        ] {
            assert_eq!(words(line), Err(mistake.to_owned()), "{line}");
        }
    }

    #[test]
    fn an_answer_is_shown_byte_by_byte() {
        let request = words("-v -s ::1 -p 80 -u /x").unwrap();
        let mut answer = Answer::new();
        answer.feed(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nrstuvwxy and more").unwrap();
        let text = String::from_utf8(printed(&request, &answer, 12)).unwrap();
        let bar = "-----------------------";
        let expected = format!(
            "{bar}[    HTTP Header Buffer    ]{bar}\n\
             0000  48 54 54 50 2f 31 2e 30 - 20 32 30 30 20 4f 4b 0d   HTTP/1.0 200 OK.\n\
             0016  0a 43 6f 6e 74 65 6e 74 - 2d 4c 65 6e 67 74 68 3a   .Content-Length:\n\
             0032  20 38 0d 0a 0d 0a       -                            8....          \n\
             {bar}[ HTTP Header Ascii Buffer ]{bar}\n\
             HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n\n\
             {bar}[        HTML Buffer        ]{bar}\n\
             0000  72 73 74 75 76 77 78 79 -                           rstuvwxy        \n\n"
        );
        assert_eq!(text.get(..expected.len()), Some(expected.as_str()));
        assert!(text.ends_with("\n\nGlobal response time for [/x] = 12 usecs\n"));
    }
}
