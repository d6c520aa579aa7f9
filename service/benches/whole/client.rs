//! A client that costs little: whole requests as bytes, answers read as far as they are needed.
//!
//! It shares the machine with what it measures, so every microsecond it takes is one that the service
//! lacks. The same client asks the service and its peers.

use anyhow::{Context, Result, bail};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Writes the whole request of a number, from its first byte to its last.
pub(crate) type Make = Arc<dyn Fn(u64, &mut Vec<u8>) + Send + Sync>;

/// How requests are offered.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Each connection asks again as soon as it is answered.
    Closed,
    /// So many requests per second over all connections, whatever the answers do; answer times count
    /// from the planned start.
    Open(f64),
}

/// What to offer.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) to: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Not measured.
    pub(crate) warmup: Duration,
    pub(crate) time: Duration,
    pub(crate) make: Make,
}

/// What came of it within the measured time.
#[derive(Default)]
pub(crate) struct Answers {
    /// Answers 200 and 201.
    pub(crate) good: u64,
    /// Answers 429 and 503.
    pub(crate) refused: u64,
    /// Any other answer.
    pub(crate) wrong: u64,
    /// Notifications that the good answers acknowledge: as many as `accepted` says, else one each.
    pub(crate) acknowledged: u64,
    /// Answer times of the good ones, in µs.
    pub(crate) times_us: Vec<u32>,
}

impl Answers {
    fn add(&mut self, other: Self) {
        self.good += other.good;
        self.refused += other.refused;
        self.wrong += other.wrong;
        self.acknowledged += other.acknowledged;
        self.times_us.extend(other.times_us);
    }

    /// A percentile of the answer times, in ms.
    pub(crate) fn percentile_ms(&mut self, share: f64) -> f64 {
        self.times_us.sort_unstable();
        let last = self.times_us.len().saturating_sub(1);
        let place = (last as f64 * share).round() as usize;
        self.times_us.get(place).map_or(f64::NAN, |us| f64::from(*us) / 1_000.0)
    }
}

/// Offers a load and waits for its end. `begin` is called when the measured time begins, `end` when it
/// is over.
pub(crate) async fn offer(offer: &Offer, begin: impl FnOnce(), end: impl FnOnce()) -> Result<Answers> {
    let mut connections = JoinSet::new();
    let from = Instant::now() + offer.warmup;
    for number in 0..offer.connections as u64 {
        connections.spawn(one_connection(offer.clone(), number, from));
    }
    tokio::time::sleep_until(from.into()).await;
    begin();
    tokio::time::sleep_until((from + offer.time).into()).await;
    end();
    let mut all = Answers::default();
    while let Some(ended) = connections.join_next().await {
        all.add(ended??);
    }
    if all.good == 0 {
        bail!("nothing was answered well: {} refused, {} wrong", all.refused, all.wrong);
    }
    Ok(all)
}

async fn one_connection(offer: Offer, number: u64, from: Instant) -> Result<Answers> {
    let mut stream = connect(offer.to).await?;
    let (mut request, mut input) = (Vec::with_capacity(1_024), Vec::with_capacity(4_096));
    let mut answers = Answers::default();
    let step = offer.connections as u64;
    let begun = Instant::now();
    for turn in 0.. {
        let planned = match offer.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => {
                let planned = begun + Duration::from_secs_f64((turn * step + number) as f64 / rate);
                tokio::time::sleep_until(planned.into()).await;
                planned
            }
        };
        if Instant::now() >= from + offer.time {
            break;
        }
        request.clear();
        (offer.make)(turn * step + number, &mut request);
        stream.write_all(&request).await?;
        let answer = read_answer(&mut stream, &mut input).await?;
        let now = Instant::now();
        if now >= from && now < from + offer.time {
            match answer.status {
                200 | 201 => {
                    answers.good += 1;
                    answers.acknowledged += answer.accepted;
                    answers.times_us.push(u32::try_from((now - planned).as_micros()).unwrap_or(u32::MAX));
                }
                429 | 503 => answers.refused += 1,
                _ => answers.wrong += 1,
            }
        }
    }
    Ok(answers)
}

/// Opens a connection.
pub(crate) async fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("nobody listens at {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What is read of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) accepted: u64,
}

/// Reads one answer of known length; nothing of the next one may be in `input`.
pub(crate) async fn read_answer(stream: &mut TcpStream, input: &mut Vec<u8>) -> Result<Answer> {
    input.clear();
    let (status, end) = loop {
        if stream.read_buf(input).await? == 0 {
            bail!("the connection was closed");
        }
        if let Some(head) = memchr::memmem::find(input, b"\r\n\r\n") {
            let text = std::str::from_utf8(&input[..head])?;
            let status = text.get(9..12).context("no status")?.parse()?;
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            break (status, head + 4 + length.map_or(Ok(0), str::parse::<usize>)?);
        }
    };
    while input.len() < end {
        if stream.read_buf(input).await? == 0 {
            bail!("the connection was closed within an answer");
        }
    }
    Ok(Answer { status, accepted: accepted(input).unwrap_or(1) })
}

/// The first number called `accepted`.
pub(crate) fn accepted(text: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\"accepted\":";
    let rest = &text[memchr::memmem::find(text, NAME)? + NAME.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// Streams groups of lines in one request and reads the results meanwhile; how many were accepted.
pub(crate) async fn stream_lines(to: SocketAddr, head: &str, groups: &[Vec<u8>]) -> Result<u64> {
    let (mut input, mut output) = connect(to).await?.into_split();
    let head = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let writing = async {
        output.write_all(head.as_bytes()).await?;
        for group in groups {
            output.write_all(format!("{:x}\r\n", group.len()).as_bytes()).await?;
            output.write_all(group).await?;
            output.write_all(b"\r\n").await?;
        }
        output.write_all(b"0\r\n\r\n").await?;
        anyhow::Ok(())
    };
    let reading = async {
        // The summary is the last line; a little more than it is kept.
        let (mut chunk, mut tail) = (vec![0; 256 * 1_024], Vec::new());
        loop {
            let count = input.read(&mut chunk).await?;
            tail.extend_from_slice(&chunk[..count]);
            if tail.len() > 4_096 {
                tail.drain(..tail.len() - 4_096);
            }
            if tail.ends_with(b"0\r\n\r\n") {
                return accepted(&tail).context("no summary at the end of the stream");
            }
            if count == 0 {
                bail!("the stream broke off: {}", String::from_utf8_lossy(&tail));
            }
        }
    };
    let ((), accepted) = tokio::try_join!(writing, reading)?;
    Ok(accepted)
}
