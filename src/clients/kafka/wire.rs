//! What the Kafka driver has no call for (which type a group is of, share groups), asked
//! in Kafka's own protocol over connections that are kept.
//!
//! Over TLS, and with SASL mechanisms but PLAIN, nothing is asked: the answer is a reason.

mod codec;
mod groups;

use super::Brokers;
use codec::{ResponseReader, Writer};
use rdkafka::metadata::Metadata;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

pub(super) use groups::Share;

/// How long a name is, and what nsys calls itself.
const CLIENT: &str = "nsys";
/// A longer answer is none.
const LONGEST: usize = 64 << 20;
/// Shortest time that is given to one step of a request.
const SHORTEST: Duration = Duration::from_millis(10);

/// Requests that every broker knows, and those that let a client in.
const API_VERSIONS: i16 = 18;
const SASL_HANDSHAKE: i16 = 17;
const SASL_AUTHENTICATE: i16 = 36;

/// Where a broker listens.
pub(super) type Address = (String, u16);

/// What was read, or why it is not known.
pub(super) type WireResult<T> = Result<T, String>;

/// Where the brokers listen, as one of them says.
pub(super) fn addresses(metadata: &Metadata) -> Vec<Address> {
    let address = |host: &str, port: i32| Some((host.to_owned(), u16::try_from(port).ok()?));
    metadata.brokers().iter().filter_map(|one| address(one.host(), one.port())).collect()
}

/// How a connection to a broker authenticates.
#[derive(Clone)]
enum BrokerAuth {
    Open,
    Plain {
        user: String,
        password: String,
    },
    /// In a way that nsys does not speak, and which.
    Closed(String),
}

impl BrokerAuth {
    fn of(brokers: &Brokers) -> Self {
        let value = |name: &str| {
            let found = brokers.access.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let (security, mechanism) = (value("security.protocol"), value("sasl.mechanism"));
        match security.to_lowercase().as_str() {
            "" | "plaintext" => Self::Open,
            "sasl_plaintext" if mechanism.eq_ignore_ascii_case("plain") => {
                Self::Plain { user: value("sasl.username"), password: value("sasl.password") }
            }
            "sasl_plaintext" => Self::Closed(format!("nsys cannot ask for it with SASL {mechanism}")),
            other => Self::Closed(format!("nsys cannot ask for it over {other}")),
        }
    }
}

/// Connections to the brokers, and which of them coordinates which group.
pub(super) struct Wire {
    access: BrokerAuth,
    links: BTreeMap<Address, Link>,
    coordinators: BTreeMap<String, Address>,
}

/// A connection to a broker, and the versions of each request that it takes.
struct Link {
    stream: TcpStream,
    versions: BTreeMap<i16, (i16, i16)>,
    sent: i32,
}

impl Wire {
    pub(super) fn new(brokers: &Brokers) -> Self {
        Self { access: BrokerAuth::of(brokers), links: BTreeMap::new(), coordinators: BTreeMap::new() }
    }

    /// The newest version of a request that a broker takes and that is one of `known`; absent when it takes
    /// none of them.
    fn version(
        &mut self,
        at: &Address,
        key: i16,
        known: (i16, i16),
        deadline: Instant,
    ) -> WireResult<Option<i16>> {
        let taken = self.link(at, deadline)?.versions.get(&key).copied();
        Ok(taken
            .map(|taken| taken.1.min(known.1))
            .filter(|best| taken.is_some_and(|it| *best >= it.0.max(known.0))))
    }

    /// Asks, and reads the answer behind its head. A connection that the broker has closed meanwhile is made
    /// anew, once.
    fn ask(
        &mut self,
        at: &Address,
        (key, version): (i16, i16),
        body: &[u8],
        deadline: Instant,
    ) -> WireResult<Vec<u8>> {
        let is_kept = self.links.contains_key(at);
        let first = self.link(at, deadline)?.ask(key, version, body, deadline);
        let answer = match first {
            Err(_) if is_kept => {
                self.links.remove(at);
                self.link(at, deadline)?.ask(key, version, body, deadline)
            }
            answer => answer,
        };
        answer.map_err(|cause| {
            // An answer that was given up on may still come, and would be taken for that of the next request.
            self.links.remove(at);
            format!("{}:{} does not answer: {cause}", at.0, at.1)
        })
    }

    fn link(&mut self, at: &Address, deadline: Instant) -> WireResult<&mut Link> {
        if let BrokerAuth::Closed(why) = &self.access {
            return Err(why.clone());
        }
        if !self.links.contains_key(at) {
            let told = |cause: std::io::Error| format!("{}:{} does not answer: {cause}", at.0, at.1);
            let mut link = Link::connect(at, deadline).map_err(told)?;
            if let BrokerAuth::Plain { user, password } = &self.access {
                link.sign_in(user, password, deadline).map_err(told)?;
            }
            self.links.insert(at.clone(), link);
        }
        self.links.get_mut(at).ok_or_else(|| "there is no connection".to_owned())
    }
}

fn left(deadline: Instant) -> Duration {
    // A socket refuses a timeout of 0.
    deadline.saturating_duration_since(Instant::now()).max(SHORTEST)
}

fn malformed() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "an answer that cannot be read")
}

impl Link {
    fn connect(at: &Address, deadline: Instant) -> std::io::Result<Self> {
        let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "its name has no address");
        for address in (at.0.as_str(), at.1).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let mut link = Self { stream, versions: BTreeMap::new(), sent: 0 };
                    link.versions = link.fetch_versions(deadline)?;
                    return Ok(link);
                }
                Err(cause) => last = cause,
            }
        }
        Err(last)
    }

    fn fetch_versions(&mut self, deadline: Instant) -> std::io::Result<BTreeMap<i16, (i16, i16)>> {
        let answer = self.ask_plainly(API_VERSIONS, 0, &[], deadline)?;
        let mut reader = ResponseReader::new(&answer);
        let entry =
            |reader: &mut ResponseReader<'_>| Some((reader.short()?, (reader.short()?, reader.short()?)));
        let read = reader.short().filter(|code| *code == 0).and_then(|_| reader.long_list(entry));
        Ok(read.ok_or_else(malformed)?.into_iter().collect())
    }

    fn sign_in(&mut self, user: &str, password: &str, deadline: Instant) -> std::io::Result<()> {
        let refused = |why: String| std::io::Error::new(std::io::ErrorKind::PermissionDenied, why);
        let mut mechanism = Writer::default();
        mechanism.short_text("PLAIN");
        let answer = self.ask_plainly(SASL_HANDSHAKE, 1, &mechanism.bytes, deadline)?;
        match ResponseReader::new(&answer).short().ok_or_else(malformed)? {
            0 => {}
            _ => return Err(refused("it does not take SASL PLAIN".into())),
        }
        let mut credentials = Writer::default();
        credentials.long_bytes(format!("\0{user}\0{password}").as_bytes());
        let answer = self.ask_plainly(SASL_AUTHENTICATE, 0, &credentials.bytes, deadline)?;
        match ResponseReader::new(&answer).short().ok_or_else(malformed)? {
            0 => Ok(()),
            _ => Err(refused("it does not accept the credentials".into())),
        }
    }

    /// A request with tagged fields.
    fn ask(&mut self, key: i16, version: i16, body: &[u8], deadline: Instant) -> std::io::Result<Vec<u8>> {
        let answer = self.exchange(key, version, Some(0), body, deadline)?;
        let mut reader = ResponseReader::new(&answer);
        reader.tags().ok_or_else(malformed)?;
        Ok(reader.rest().to_vec())
    }

    /// A request of the time before tagged fields.
    fn ask_plainly(
        &mut self,
        key: i16,
        version: i16,
        body: &[u8],
        deadline: Instant,
    ) -> std::io::Result<Vec<u8>> {
        self.exchange(key, version, None, body, deadline)
    }

    /// Sends a request and reads its answer behind the number that says which one it answers.
    fn exchange(
        &mut self,
        key: i16,
        version: i16,
        tags: Option<u8>,
        body: &[u8],
        deadline: Instant,
    ) -> std::io::Result<Vec<u8>> {
        self.sent += 1;
        let mut head = Writer::default();
        head.short(key);
        head.short(version);
        head.int(self.sent);
        head.short_text(CLIENT);
        head.bytes.extend(tags);
        let mut request = Writer::default();
        request.int(i32::try_from(head.bytes.len() + body.len()).map_err(|_| malformed())?);
        request.bytes.extend(head.bytes);
        request.bytes.extend(body);
        self.stream.set_write_timeout(Some(left(deadline)))?;
        self.stream.write_all(&request.bytes)?;
        let mut length = [0; 4];
        self.fill(&mut length, deadline)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| malformed())?;
        if !(4..=LONGEST).contains(&length) {
            return Err(malformed());
        }
        let mut answer = vec![0; length];
        self.fill(&mut answer, deadline)?;
        match ResponseReader::new(&answer).int() {
            Some(number) if number == self.sent => Ok(answer.split_off(4)),
            _ => Err(malformed()),
        }
    }

    /// As much as is wanted, whatever the pieces it comes in, until the time is over.
    fn fill(&mut self, into: &mut [u8], deadline: Instant) -> std::io::Result<()> {
        // Not `read_exact`, whose timeout begins anew with every piece.
        let mut filled = 0;
        while filled < into.len() {
            if Instant::now() > deadline {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left(deadline)))?;
            match self.stream.read(&mut into[filled..])? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(settings: &[(&'static str, &str)]) -> BrokerAuth {
        let access = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        BrokerAuth::of(&Brokers { list: String::new(), access })
    }

    #[test]
    fn where_nothing_can_be_asked_the_reason_is_named() {
        assert!(matches!(access(&[]), BrokerAuth::Open));
        let plain = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")];
        assert!(matches!(access(&plain), BrokerAuth::Plain { .. }));
        let scram = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "SCRAM-SHA-512")];
        let tls = [("security.protocol", "sasl_ssl"), ("sasl.mechanism", "PLAIN")];
        for (settings, named) in [(scram, "SCRAM-SHA-512"), (tls, "sasl_ssl")] {
            let BrokerAuth::Closed(why) = access(&settings) else { panic!("{named} is not asked over") };
            assert!(why.contains(named), "{why}");
        }
    }

    #[test]
    fn a_broker_that_says_nothing_or_nonsense_is_a_reason_within_the_time() {
        for answer in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x04\0\0\0\x63"] {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let at = ("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(answer).unwrap();
                let mut heard = Vec::new();
                let _ = stream.read_to_end(&mut heard);
            });
            let mut wire = Wire::new(&Brokers::open(""));
            let deadline = Instant::now() + Duration::from_millis(300);
            let why = wire.version(&at, 69, (0, 1), deadline).unwrap_err();
            assert!(why.contains("does not answer"), "{why}");
            drop(wire);
            server.join().unwrap();
        }
    }
}
