//! The messages of AgentX (RFC 2741 sections 5 and 6): what a subagent sends, and what it may get.
//!
//! ```text
//!  0                   1                   2                   3
//! +---------------+---------------+---------------+---------------+
//! |  h.version(1) |    h.type     |    h.flags    |   reserved    |
//! +---------------+---------------+---------------+---------------+
//! |  h.sessionID, h.transactionID, h.packetID: 4 bytes each       |
//! +---------------+---------------+---------------+---------------+
//! |  h.payload_length: bytes after this header, a multiple of 4   |
//! +---------------+---------------+---------------+---------------+
//! ```
//!
//! What arrives may be of either byte order; what leaves is in network byte order.

use std::net::Ipv4Addr;

use super::value::{Oid, Value, VarBind};

/// Bytes of a header.
pub const HEADER: usize = 20;
/// Nothing longer is read: a master that sends more is not one that we can talk to.
pub const LONGEST_PAYLOAD: u32 = 256 * 1024;

const VERSION: u8 = 1;
const OPEN: u8 = 1;
const CLOSE: u8 = 2;
const REGISTER: u8 = 3;
const UNREGISTER: u8 = 4;
const GET: u8 = 5;
const GET_NEXT: u8 = 6;
const GET_BULK: u8 = 7;
const TEST_SET: u8 = 8;
const COMMIT_SET: u8 = 9;
const UNDO_SET: u8 = 10;
const CLEANUP_SET: u8 = 11;
const NOTIFY: u8 = 12;
const PING: u8 = 13;
const RESPONSE: u8 = 18;

const NON_DEFAULT_CONTEXT: u8 = 1 << 3;
const NETWORK_BYTE_ORDER: u8 = 1 << 4;

/// Reasons of a Close-PDU (RFC 2741 section 6.2.2).
pub mod reason {
    /// Any other.
    pub const OTHER: u8 = 1;
    /// Too many messages could not be read.
    pub const PARSE_ERROR: u8 = 2;
    /// The subagent ends.
    pub const SHUTDOWN: u8 = 5;
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Of a version that is not 1.
    #[error("version {0} of AgentX")]
    Version(u8),
    /// Longer than anything that is read.
    #[error("{0} bytes, more than {LONGEST_PAYLOAD}")]
    TooLong(u32),
    /// Its length is no multiple of 4.
    #[error("a length of {0} bytes, not a multiple of 4")]
    Odd(u32),
    /// It ends within something.
    #[error("it is cut short")]
    Short,
    /// An object identifier with too many numbers.
    #[error("an object identifier of {0} numbers")]
    LongOid(usize),
    /// A value of a type that there is not.
    #[error("a value of type {0}")]
    ValueType(u16),
    /// An address that is not 4 bytes long.
    #[error("an IP address of {0} bytes")]
    Address(usize),
}

/// What stands before each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    kind: u8,
    flags: u8,
    /// The session it is of.
    pub session: u32,
    /// The request of a manager that it serves.
    pub transaction: u32,
    /// The message that it is, or answers.
    pub packet: u32,
    /// Bytes that follow.
    pub length: u32,
}

impl Header {
    /// Reads one.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, Malformed> {
        let [version, kind, flags, ..] = *bytes;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let mut reader = Reader { bytes: &bytes[4..], network: flags & NETWORK_BYTE_ORDER != 0 };
        let header = Self {
            kind,
            flags,
            session: reader.u32()?,
            transaction: reader.u32()?,
            packet: reader.u32()?,
            length: reader.u32()?,
        };
        if header.length > LONGEST_PAYLOAD {
            return Err(Malformed::TooLong(header.length));
        }
        if !header.length.is_multiple_of(4) {
            return Err(Malformed::Odd(header.length));
        }
        Ok(header)
    }
}

/// From where a search goes, and to where (RFC 2741 section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchRange {
    /// From here,
    pub start: Oid,
    /// itself included,
    pub include: bool,
    /// to before this one; to the end when it is empty.
    pub end: Oid,
}

/// What the master wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// These objects.
    Get(Vec<SearchRange>),
    /// Those that follow these.
    GetNext(Vec<SearchRange>),
    /// Those that follow these, and so on.
    GetBulk {
        /// So many of the first are looked for once,
        non_repeaters: u16,
        /// the others so often.
        repetitions: u16,
        /// What is looked for.
        ranges: Vec<SearchRange>,
    },
    /// Whether these values can be set.
    TestSet(Vec<VarBind>),
    /// They are to be.
    CommitSet,
    /// They are not, after all.
    UndoSet,
    /// They will not be, or have been.
    CleanupSet,
    /// It ends the session.
    Close(u8),
    /// The answer to a message of ours.
    Response {
        /// 0: all is well.
        error: u16,
    },
    /// Something that is not for subagents.
    Other(u8),
}

/// Reads what follows a header.
pub fn parse(header: &Header, payload: &[u8]) -> Result<Message, Malformed> {
    let network = header.flags & NETWORK_BYTE_ORDER != 0;
    let mut reader = Reader { bytes: payload, network };
    let with_context = matches!(header.kind, GET | GET_NEXT | GET_BULK | TEST_SET);
    if with_context && header.flags & NON_DEFAULT_CONTEXT != 0 {
        // We have registered nothing in any other context; the same objects are shown in each.
        reader.octets()?;
    }
    Ok(match header.kind {
        GET => Message::Get(reader.ranges()?),
        GET_NEXT => Message::GetNext(reader.ranges()?),
        GET_BULK => Message::GetBulk {
            non_repeaters: reader.u16()?,
            repetitions: reader.u16()?,
            ranges: reader.ranges()?,
        },
        TEST_SET => Message::TestSet(reader.bindings()?),
        COMMIT_SET => Message::CommitSet,
        UNDO_SET => Message::UndoSet,
        CLEANUP_SET => Message::CleanupSet,
        CLOSE => Message::Close(reader.u8()?),
        RESPONSE => {
            reader.u32()?;
            Message::Response { error: reader.u16()? }
        }
        other => Message::Other(other),
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    network: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Malformed::Short)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array: [u8; N] = self.take(N)?.try_into().map_err(|_| Malformed::Short)?;
        if !self.network {
            array.reverse();
        }
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// An object identifier, and whether it is included in a search.
    fn oid(&mut self) -> Result<(Oid, bool), Malformed> {
        let (count, prefix) = (usize::from(self.u8()?), self.u8()?);
        let include = self.u8()? != 0;
        self.u8()?;
        let internet = [1, 3, 6, 1, u32::from(prefix)];
        let mut numbers = if prefix == 0 { Vec::new() } else { internet.to_vec() };
        if numbers.len() + count > Oid::LONGEST {
            return Err(Malformed::LongOid(numbers.len() + count));
        }
        for _ in 0..count {
            numbers.push(self.u32()?);
        }
        Ok((Oid::new(numbers), include))
    }

    fn octets(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        let octets = self.take(length)?;
        self.take(padding(length))?;
        Ok(octets)
    }

    fn ranges(&mut self) -> Result<Vec<SearchRange>, Malformed> {
        let mut ranges = Vec::new();
        while !self.bytes.is_empty() {
            let (start, include) = self.oid()?;
            let (end, _) = self.oid()?;
            ranges.push(SearchRange { start, include, end });
        }
        Ok(ranges)
    }

    fn bindings(&mut self) -> Result<Vec<VarBind>, Malformed> {
        let mut bindings = Vec::new();
        while !self.bytes.is_empty() {
            let kind = self.u16()?;
            self.u16()?;
            let (name, _) = self.oid()?;
            bindings.push(VarBind { name, value: self.value(kind)? });
        }
        Ok(bindings)
    }

    fn value(&mut self, kind: u16) -> Result<Value, Malformed> {
        Ok(match kind {
            2 => Value::Integer(i32::from_be_bytes(self.array()?)),
            4 => Value::Octets(self.octets()?.to_vec()),
            5 => Value::Null,
            6 => Value::Oid(self.oid()?.0),
            64 => {
                let octets = self.octets()?;
                let address: [u8; 4] =
                    octets.try_into().map_err(|_| Malformed::Address(octets.len()))?;
                Value::IpAddress(Ipv4Addr::from(address))
            }
            65 => Value::Counter32(self.u32()?),
            66 => Value::Gauge32(self.u32()?),
            67 => Value::TimeTicks(self.u32()?),
            68 => Value::Opaque(self.octets()?.to_vec()),
            70 => Value::Counter64(u64::from_be_bytes(self.array()?)),
            128 => Value::NoSuchObject,
            129 => Value::NoSuchInstance,
            130 => Value::EndOfMibView,
            other => return Err(Malformed::ValueType(other)),
        })
    }
}

const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// 0: all is well.
    pub error: u16,
    /// Which of the objects is to blame, from 1 on; 0 for none.
    pub index: u16,
    /// What was asked for.
    pub bindings: Vec<VarBind>,
}

/// Opens a session: `timeout` is how long the master waits for an answer, seconds.
pub fn open(packet: u32, timeout: u8, name: &Oid, description: &str) -> Vec<u8> {
    let mut writer = Writer::new(OPEN, 0, 0, packet);
    writer.bytes.extend([timeout, 0, 0, 0]);
    writer.oid(name);
    writer.octets(description.as_bytes());
    writer.finish()
}

/// Ends a session.
pub fn close(session: u32, packet: u32, reason: u8) -> Vec<u8> {
    let mut writer = Writer::new(CLOSE, session, 0, packet);
    writer.bytes.extend([reason, 0, 0, 0]);
    writer.finish()
}

/// Asks for the requests below `subtree`; the smallest `priority` gets them.
pub fn register(session: u32, packet: u32, priority: u8, subtree: &Oid) -> Vec<u8> {
    let mut writer = Writer::new(REGISTER, session, 0, packet);
    writer.bytes.extend([0, priority, 0, 0]);
    writer.oid(subtree);
    writer.finish()
}

/// Takes that back.
pub fn unregister(session: u32, packet: u32, priority: u8, subtree: &Oid) -> Vec<u8> {
    let mut writer = Writer::new(UNREGISTER, session, 0, packet);
    writer.bytes.extend([0, priority, 0, 0]);
    writer.oid(subtree);
    writer.finish()
}

/// Has the master send a notification; the first of `bindings` is `snmpTrapOID.0`.
pub fn notify(session: u32, packet: u32, bindings: &[VarBind]) -> Vec<u8> {
    let mut writer = Writer::new(NOTIFY, session, 0, packet);
    writer.bindings(bindings);
    writer.finish()
}

/// Asks whether the master is there.
pub fn ping(session: u32, packet: u32) -> Vec<u8> {
    Writer::new(PING, session, 0, packet).finish()
}

/// Answers the message that `request` was the header of.
pub fn response(request: &Header, response: &Response) -> Vec<u8> {
    let Header { session, transaction, packet, .. } = *request;
    let mut writer = Writer::new(RESPONSE, session, transaction, packet);
    // The time of an answer is the master's to say.
    writer.u32(0);
    writer.bytes.extend(response.error.to_be_bytes());
    writer.bytes.extend(response.index.to_be_bytes());
    writer.bindings(&response.bindings);
    writer.finish()
}

struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn new(kind: u8, session: u32, transaction: u32, packet: u32) -> Self {
        let mut writer = Self { bytes: vec![VERSION, kind, NETWORK_BYTE_ORDER, 0] };
        for number in [session, transaction, packet, 0] {
            writer.u32(number);
        }
        writer
    }

    fn u32(&mut self, number: u32) {
        self.bytes.extend(number.to_be_bytes());
    }

    fn oid(&mut self, oid: &Oid) {
        // An identifier has 128 numbers at most.
        self.bytes.extend([u8::try_from(oid.numbers().len()).unwrap_or(0), 0, 0, 0]);
        for number in oid.numbers() {
            self.u32(*number);
        }
    }

    fn octets(&mut self, octets: &[u8]) {
        self.u32(u32::try_from(octets.len()).unwrap_or(0));
        self.bytes.extend(octets);
        self.bytes.resize(self.bytes.len() + padding(octets.len()), 0);
    }

    fn bindings(&mut self, bindings: &[VarBind]) {
        for VarBind { name, value } in bindings {
            self.bytes.extend(kind_of(value).to_be_bytes());
            self.bytes.extend([0, 0]);
            self.oid(name);
            match value {
                Value::Integer(number) => self.bytes.extend(number.to_be_bytes()),
                Value::Octets(octets) | Value::Opaque(octets) => self.octets(octets),
                Value::Oid(oid) => self.oid(oid),
                Value::IpAddress(address) => self.octets(&address.octets()),
                Value::Counter32(number) | Value::Gauge32(number) | Value::TimeTicks(number) => {
                    self.u32(*number);
                }
                Value::Counter64(number) => self.bytes.extend(number.to_be_bytes()),
                Value::Null | Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView => {
                }
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len() - HEADER).unwrap_or(0);
        self.bytes[16..HEADER].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }
}

const fn kind_of(value: &Value) -> u16 {
    match value {
        Value::Integer(_) => 2,
        Value::Octets(_) => 4,
        Value::Null => 5,
        Value::Oid(_) => 6,
        Value::IpAddress(_) => 64,
        Value::Counter32(_) => 65,
        Value::Gauge32(_) => 66,
        Value::TimeTicks(_) => 67,
        Value::Opaque(_) => 68,
        Value::Counter64(_) => 70,
        Value::NoSuchObject => 128,
        Value::NoSuchInstance => 129,
        Value::EndOfMibView => 130,
    }
}

/// Anything may arrive: it is read or refused; what is read as values is written and read again as
/// the same, and requests are answered.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Some((first, payload)) = data.split_first_chunk::<HEADER>() else { return };
    let Ok(header) = Header::parse(first) else { return };
    let Ok(message) = parse(&header, payload) else { return };
    if let Message::TestSet(bindings) = &message {
        let again = notify(header.session, header.packet, bindings);
        let (_, payload) = again.split_first_chunk::<HEADER>().expect("a header");
        let mut reader = Reader { bytes: payload, network: true };
        assert_eq!(reader.bindings().as_ref(), Ok(bindings));
    }
    super::answer::fuzz(&message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(Header, Message), Malformed> {
        let (first, payload) = bytes.split_first_chunk::<HEADER>().ok_or(Malformed::Short)?;
        let header = Header::parse(first)?;
        let payload = payload.get(..header.length as usize).ok_or(Malformed::Short)?;
        Ok((header, parse(&header, payload)?))
    }

    /// A GETNEXT of .1.3.6.1.4.1.9586.100.5.1.1, little endian, with the short form of its beginning.
    const GETNEXT: &[u8] = &[
        1, 6, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 52, 0, 0, 0, //
        6, 4, 0, 0, 1, 0, 0, 0, 0x72, 0x25, 0, 0, 100, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0,
        0, //
        5, 4, 1, 0, 1, 0, 0, 0, 0x72, 0x25, 0, 0, 100, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0,
    ];

    #[test]
    fn a_request_of_the_other_byte_order_is_understood() {
        let (header, message) = read(GETNEXT).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((header.session, header.transaction, header.packet), (7, 9, 8));
        let Message::GetNext(ranges) = message else { panic!("{message:?}") };
        assert_eq!(ranges.len(), 1);
        assert_eq!(ranges[0].start.to_string(), "1.3.6.1.4.1.9586.100.5.1.1");
        assert_eq!(ranges[0].end.to_string(), "1.3.6.1.4.1.9586.100.5.2");
        assert!(!ranges[0].include);
    }

    #[test]
    fn every_value_survives_the_way() {
        let values = [
            Value::Integer(-5),
            Value::Octets(vec![0xc0, 0, 2]),
            Value::Null,
            Value::Oid(Oid::from(&[1, 3, 6][..])),
            Value::IpAddress(Ipv4Addr::new(192, 0, 2, 1)),
            Value::Counter32(u32::MAX),
            Value::Gauge32(7),
            Value::TimeTicks(8),
            Value::Opaque(vec![1, 2, 3, 4]),
            Value::Counter64(u64::MAX),
            Value::NoSuchObject,
            Value::NoSuchInstance,
            Value::EndOfMibView,
        ];
        let bindings: Vec<VarBind> = values
            .into_iter()
            .map(|value| VarBind::new(Oid::from(&[1, 3, 6, 1][..]), value))
            .collect();
        let mut bytes = notify(3, 4, &bindings);
        assert_eq!(bytes.len() % 4, 0);
        bytes[1] = TEST_SET;
        assert_eq!(read(&bytes).map(|(_, message)| message), Ok(Message::TestSet(bindings)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let header = |version, length: u32| {
            let mut bytes = [0; HEADER];
            (bytes[0], bytes[1], bytes[2]) = (version, GET, NETWORK_BYTE_ORDER);
            bytes[16..].copy_from_slice(&length.to_be_bytes());
            Header::parse(&bytes)
        };
        assert_eq!(header(2, 0), Err(Malformed::Version(2)));
        assert_eq!(header(1, 3), Err(Malformed::Odd(3)));
        assert_eq!(header(1, u32::MAX), Err(Malformed::TooLong(u32::MAX)));
        let header = header(1, 4).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(parse(&header, &[2, 0, 0, 0]), Err(Malformed::Short));
        assert_eq!(parse(&header, &[200, 0, 0, 0]), Err(Malformed::LongOid(200)));
        let set = Header { kind: TEST_SET, ..header };
        assert_eq!(parse(&set, &[0, 99, 0, 0, 0, 0, 0, 0]), Err(Malformed::ValueType(99)));
        let address = [0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 0];
        assert_eq!(parse(&set, &address), Err(Malformed::Address(3)));
        let huge = [0, 4, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(parse(&set, &huge), Err(Malformed::Short));
    }

    #[test]
    fn answers_carry_the_numbers_of_the_question() {
        let (request, _) = read(GETNEXT).unwrap_or_else(|error| panic!("{error}"));
        let bytes = response(&request, &Response { error: 17, index: 2, bindings: Vec::new() });
        let (header, message) = read(&bytes).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((header.session, header.transaction, header.packet), (7, 9, 8));
        assert_eq!(message, Message::Response { error: 17 });
        assert_eq!(bytes[26..], [0, 2]);
        assert!(matches!(read(&close(1, 2, reason::SHUTDOWN)), Ok((_, Message::Close(5)))));
    }
}
