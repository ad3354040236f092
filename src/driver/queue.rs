//! From the driver to one stream of events: messages handed over by the turn, bounded by the bytes they hold.
//!
//! What is held is charged, not what was sent. The messages of a turn are copied into chunks of at most 8 KiB, so that
//! keeping a message keeps little else; payloads of 1 KiB and more are slices of what they arrived in, charged twice.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;

use crate::{
    error::NotJoined,
    message::{Message, Names, Topic},
    payload::{Kind, Payload},
    runtime::poll_proceed,
    serializer::{Incoming, Name, SLICE_FROM},
};

const CHUNK: usize = 8 << 10;
/// Event names of a catch-all that are remembered, so that a message need not bring its own.
const REMEMBERED_NAMES: usize = 64;
/// A longer one is not: what is remembered is charged to nobody.
const REMEMBERED_LEN: usize = 255;

/// What all queues of a socket may hold together, in bytes.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Budget { used: AtomicUsize::new(0), limit })
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self, bytes: usize) -> bool {
        let free = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Queue {
    state: Mutex<State>,
    /// In bytes.
    limit: AtomicUsize,
    /// Messages that nobody has read, where their number is bounded.
    unread: AtomicUsize,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct State {
    slots: VecDeque<Slot>,
    bytes: usize,
    /// How many messages may be unread.
    most: Option<usize>,
    reader: Option<Waker>,
    ended: bool,
    /// The reader is gone: nothing is kept any more.
    abandoned: bool,
}

#[derive(Debug)]
enum Slot {
    Chunk(Chunk),
    Lagged(u64),
    NotJoined(NotJoined),
}

#[derive(Debug)]
struct Chunk {
    data: Bytes,
    records: Vec<Record>,
    large: Vec<Bytes>,
    names: Vec<Arc<Names>>,
    cost: usize,
}

/// One message of a chunk: a range of its data, or one of its large payloads.
#[derive(Clone, Copy, Debug)]
struct Record {
    place: Place,
    kind: Kind,
    name: u32,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Data { start: u32, end: u32 },
    Large(u32),
}

/// One item, as it leaves the queue.
pub(crate) enum Item {
    Message(Message),
    Lagged(u64),
    NotJoined(NotJoined),
}

/// A queue for the event of this name, or for all.
pub(crate) fn queue(
    topic: Topic,
    event: Option<Arc<str>>,
    id: u64,
    limit: usize,
    budget: Arc<Budget>,
) -> (Writer, Reader) {
    let names = Arc::new(Names { topic, event: event.as_deref().unwrap_or_default().into() });
    let queue = Queue { state: Mutex::default(), limit: limit.into(), unread: AtomicUsize::new(0), budget };
    let queue = Arc::new(queue);
    let only = event.is_some();
    let reader = Reader { queue: queue.clone(), chunk: None, next: 0, names: names.clone(), only, counts: false };
    let writer =
        Writer { id, event, names: Interned { own: names, seen: Vec::new() }, queue, filling: Filling::default() };
    (writer, reader)
}

/// The driver's end. Dropped, it ends the stream behind what is queued.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(super) id: u64,
    pub(super) event: Option<Arc<str>>,
    names: Interned,
    queue: Arc<Queue>,
    filling: Filling,
}

/// The chunk of this turn, and those that it outgrew.
#[derive(Debug, Default)]
struct Filling {
    data: Vec<u8>,
    records: Vec<Record>,
    large: Vec<Bytes>,
    large_bytes: usize,
    names: Vec<Arc<Names>>,
    full: Vec<Chunk>,
    /// What the last turn filled: a first guess for the next.
    guess: usize,
    guessed_records: usize,
}

#[derive(Debug)]
struct Interned {
    own: Arc<Names>,
    seen: Vec<Arc<Names>>,
}

impl Writer {
    /// Puts a message into this turn's chunk.
    #[inline]
    pub(super) fn push(&mut self, incoming: &Incoming<'_>) {
        let (bytes, kind) = (incoming.body.bytes, incoming.body.kind);
        let small = bytes.len() < SLICE_FROM;
        if small {
            self.filling.make_room(bytes.len(), CHUNK.min(self.queue.limit() / 8));
        }
        let name = match &self.event {
            Some(_) => 0,
            None => self.filling.name(self.names.find(incoming.event)),
        };
        if small {
            self.filling.small(bytes, kind, name);
        } else {
            self.filling.large(incoming.body.to_large(), kind, name);
        }
    }

    /// Hands over what this turn brought: one lock, one wake.
    pub(super) fn hand_over(&mut self) {
        self.filling.seal();
        if self.filling.full.is_empty() {
            return;
        }
        let mut state = self.queue.lock();
        for mut chunk in self.filling.full.drain(..) {
            if state.abandoned {
                continue;
            }
            let messages = chunk.records.len();
            if let Some(most) = state.most {
                chunk.records.truncate(most.saturating_sub(self.queue.unread.load(Ordering::Relaxed)));
            }
            let fits = !chunk.records.is_empty() && state.bytes.saturating_add(chunk.cost) <= self.queue.limit();
            let mut kept = 0;
            if fits && self.queue.budget.take(chunk.cost) {
                kept = chunk.records.len();
                if state.most.is_some() {
                    self.queue.unread.fetch_add(kept, Ordering::Relaxed);
                }
                state.bytes += chunk.cost;
                state.slots.push_back(Slot::Chunk(chunk));
            }
            if kept < messages {
                state.lag(messages - kept);
            }
        }
        wake(state);
    }

    /// Tells the reader, behind all that came before.
    pub(super) fn not_joined(&mut self, cause: NotJoined) {
        self.hand_over();
        let mut state = self.queue.lock();
        // One that is still unread says it already; so nothing grows where nobody reads.
        match state.slots.back_mut() {
            Some(Slot::NotJoined(unread)) => *unread = cause,
            _ => state.slots.push_back(Slot::NotJoined(cause)),
        }
        wake(state);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.hand_over();
        let mut state = self.queue.lock();
        state.ended = true;
        wake(state);
    }
}

impl State {
    fn lag(&mut self, lost: usize) {
        let lost = lost as u64;
        match self.slots.back_mut() {
            Some(Slot::Lagged(before)) => *before += lost,
            _ => self.slots.push_back(Slot::Lagged(lost)),
        }
    }
}

impl Filling {
    /// Room for this many bytes in a chunk of at most this size, or in the next one.
    fn make_room(&mut self, bytes: usize, chunk: usize) {
        if self.data.len() + bytes > chunk && !self.records.is_empty() {
            self.seal();
        }
        if self.data.capacity() == 0 {
            self.data.reserve(self.guess.min(chunk).max(bytes));
        }
    }

    fn small(&mut self, bytes: &[u8], kind: Kind, name: u32) {
        let start = self.data.len() as u32;
        self.data.extend_from_slice(bytes);
        let end = self.data.len() as u32;
        self.record(Record { place: Place::Data { start, end }, kind, name });
    }

    fn large(&mut self, bytes: Bytes, kind: Kind, name: u32) {
        self.large_bytes += 2 * bytes.len();
        let place = Place::Large(self.large.len() as u32);
        self.large.push(bytes);
        self.record(Record { place, kind, name });
        // A queue that is nearly full takes what fits, not all or nothing of a turn.
        if self.large_bytes >= CHUNK {
            self.seal();
        }
    }

    fn record(&mut self, record: Record) {
        if self.records.capacity() == 0 {
            self.records.reserve(self.guessed_records);
        }
        self.records.push(record);
    }

    fn name(&mut self, names: Arc<Names>) -> u32 {
        if self.names.last().is_none_or(|last| !Arc::ptr_eq(last, &names)) {
            self.names.push(names);
        }
        self.names.len() as u32 - 1
    }

    fn seal(&mut self) {
        if self.records.is_empty() {
            return;
        }
        self.guess = self.data.len() + self.data.len() / 8;
        self.guessed_records = self.records.len();
        let names = mem::take(&mut self.names);
        let cost = self.data.capacity()
            + self.records.capacity() * size_of::<Record>()
            + self.large.capacity() * size_of::<Bytes>()
            + mem::take(&mut self.large_bytes)
            + names.iter().map(|names| names.event.len() + 64).sum::<usize>()
            + size_of::<Chunk>();
        self.full.push(Chunk {
            data: mem::take(&mut self.data).into(),
            records: mem::take(&mut self.records),
            large: mem::take(&mut self.large),
            names,
            cost,
        });
    }
}

impl Interned {
    fn find(&mut self, event: Name<'_>) -> Arc<Names> {
        if let Some(found) = self.seen.iter().rev().find(|names| event == *names.event) {
            return found.clone();
        }
        let event = event.as_str();
        let names = Arc::new(Names { topic: self.own.topic.clone(), event: event.into() });
        if event.len() <= REMEMBERED_LEN {
            if self.seen.len() >= REMEMBERED_NAMES {
                self.seen.clear();
            }
            self.seen.push(names.clone());
        }
        names
    }
}

impl Queue {
    fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream's end.
#[derive(Debug)]
pub(crate) struct Reader {
    queue: Arc<Queue>,
    chunk: Option<Chunk>,
    next: usize,
    names: Arc<Names>,
    /// Whether all messages bear the reader's own name.
    only: bool,
    /// Whether the number of unread messages is bounded.
    counts: bool,
}

impl Reader {
    /// From now on it holds this many bytes at most.
    pub(crate) fn limit_bytes(&mut self, bytes: usize) {
        self.queue.limit.store(bytes, Ordering::Relaxed);
    }

    /// From now on this many messages at most are unread.
    pub(crate) fn limit_messages(&mut self, most: Option<usize>) {
        let mut state = self.queue.lock();
        state.most = most;
        self.counts = most.is_some();
        let queued = state.slots.iter().map(|slot| match slot {
            Slot::Chunk(chunk) => chunk.records.len(),
            _ => 0,
        });
        let begun = self.chunk.as_ref().map_or(0, |chunk| chunk.records.len() - self.next);
        self.queue.unread.store(queued.sum::<usize>() + begun, Ordering::Relaxed);
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
            if let Some(message) = self.next_of_chunk() {
                return Poll::Ready(Some(Item::Message(message)));
            }
            // Once a chunk: a reader of a flood gives way to other tasks.
            let turn = ready!(poll_proceed(cx));
            let spent = self.chunk.take().map_or(0, |chunk| chunk.cost);
            let mut state = self.queue.lock();
            if spent > 0 {
                state.bytes -= spent;
                self.queue.budget.give_back(spent);
            }
            match state.slots.pop_front() {
                Some(Slot::Chunk(chunk)) => {
                    drop(state);
                    turn.made_progress();
                    self.chunk = Some(chunk);
                    self.next = 0;
                }
                Some(Slot::Lagged(lost)) => return Poll::Ready(Some(Item::Lagged(lost))),
                Some(Slot::NotJoined(cause)) => return Poll::Ready(Some(Item::NotJoined(cause))),
                None if state.ended => return Poll::Ready(None),
                None => {
                    if !state.reader.as_ref().is_some_and(|stored| stored.will_wake(cx.waker())) {
                        state.reader = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn next_of_chunk(&mut self) -> Option<Message> {
        let chunk = self.chunk.as_ref()?;
        let record = *chunk.records.get(self.next)?;
        self.next += 1;
        if self.counts {
            self.queue.unread.fetch_sub(1, Ordering::Relaxed);
        }
        let bytes = match record.place {
            Place::Data { start, end } => chunk.data.slice(start as usize..end as usize),
            Place::Large(index) => chunk.large[index as usize].clone(),
        };
        let names = if self.only { &self.names } else { &chunk.names[record.name as usize] };
        Some(Message::new(names.clone(), Payload::new(bytes, record.kind)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.abandoned = true;
        state.slots.clear();
        self.queue.budget.give_back(mem::take(&mut state.bytes));
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    if let Some(reader) = state.reader.take() {
        drop(state);
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // T-32
    #[test]
    fn only_names_of_a_sane_length_are_remembered() {
        let own = Arc::new(Names { topic: "room:1".into(), event: "".into() });
        let mut names = Interned { own, seen: Vec::new() };
        let long = "x".repeat(REMEMBERED_LEN);
        assert!(Arc::ptr_eq(&names.find((&*long).into()), &names.find((&*long).into())));
        let longer = "x".repeat(REMEMBERED_LEN + 1);
        assert_eq!(&*names.find((&*longer).into()).event, longer);
        assert_eq!(names.seen.len(), 1);
        for number in 0..10 * REMEMBERED_NAMES {
            names.find((&*number.to_string()).into());
        }
        assert!(names.seen.len() <= REMEMBERED_NAMES);
    }

    // Law 3: bounded, and what is lost is told in its place, also when nothing follows.
    #[test]
    fn of_a_full_queue_the_newest_are_dropped_and_counted_where_they_would_be() {
        const LIMIT: usize = 4 << 10;
        let budget = Budget::new(1 << 20);
        let (mut writer, mut reader) = queue("room:1".into(), Some("shout".into()), 1, LIMIT, budget.clone());
        let bytes = Bytes::from(vec![b'1'; 512]);
        let body = crate::serializer::Body { owner: &bytes, bytes: &bytes, kind: Kind::Json };
        let message = Incoming { join_ref: None, reference: None, topic: "room:1".into(), event: "shout".into(), body };
        for _ in 0..100 {
            writer.push(&message);
            writer.hand_over();
        }
        assert!((1..=LIMIT).contains(&budget.used()), "{} bytes are held", budget.used());

        let mut cx = Context::from_waker(Waker::noop());
        let (mut kept, mut lost) = (0, 0);
        while let Poll::Ready(Some(item)) = reader.poll_next(&mut cx) {
            match item {
                Item::Message(_) if lost == 0 => kept += 1,
                Item::Lagged(n) if lost == 0 => lost = n,
                _ => panic!("nothing comes behind what was lost"),
            }
        }
        assert!(kept > 0);
        assert_eq!(kept + lost, 100);
        assert_eq!(budget.used(), 0);
    }

    fn shout(writer: &mut Writer, number: usize) {
        let bytes = Bytes::from(number.to_string());
        let body = crate::serializer::Body { owner: &bytes, bytes: &bytes, kind: Kind::Json };
        let event = "shout".into();
        writer.push(&Incoming { join_ref: None, reference: None, topic: "room:1".into(), event, body });
    }

    fn read(reader: &mut Reader) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        while let Poll::Ready(Some(item)) = reader.poll_next(&mut cx) {
            seen.push(match item {
                Item::Message(message) => message.payload().to_string(),
                Item::Lagged(lost) => format!("lost {lost}"),
                Item::NotJoined(cause) => cause.to_string(),
            });
        }
        seen
    }

    // Law 3
    #[test]
    fn a_bound_in_messages_keeps_the_first_of_them_and_makes_room_one_by_one() {
        let (mut writer, mut reader) = queue("room:1".into(), Some("shout".into()), 1, 1 << 20, Budget::new(1 << 20));
        shout(&mut writer, 0);
        writer.hand_over();
        // What waits already counts.
        reader.limit_messages(Some(3));
        (1..=4).for_each(|number| shout(&mut writer, number));
        writer.hand_over();
        shout(&mut writer, 5);
        writer.hand_over();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(reader.poll_next(&mut cx), Poll::Ready(Some(Item::Message(_)))));
        shout(&mut writer, 6);
        writer.hand_over();
        assert_eq!(read(&mut reader), ["1", "2", "lost 3", "6"]);
        (7..20).for_each(|number| shout(&mut writer, number));
        writer.hand_over();
        assert_eq!(read(&mut reader), ["7", "8", "9", "lost 10"]);
        reader.limit_messages(None);
        (0..9).for_each(|number| shout(&mut writer, number));
        writer.hand_over();
        assert_eq!(read(&mut reader).len(), 9);
    }

    // Law 3
    #[test]
    fn a_bound_in_bytes_can_be_changed_and_lifted() {
        let (mut writer, mut reader) = queue("room:1".into(), Some("shout".into()), 1, 1 << 10, Budget::new(1 << 20));
        let mut fill = |reader: &mut Reader| {
            for number in 0..1_000 {
                shout(&mut writer, number);
                writer.hand_over();
            }
            let seen = read(reader);
            (seen.len(), seen.iter().filter(|item| item.starts_with("lost")).count())
        };
        let (few, lagged) = fill(&mut reader);
        assert!(few < 20 && lagged == 1, "{few}");
        reader.limit_bytes(usize::MAX);
        assert_eq!(fill(&mut reader), (1_000, 0));
        reader.limit_bytes(0);
        assert_eq!(fill(&mut reader), (1, 1));
    }

    // T-32
    #[test]
    fn a_large_payload_keeps_little_but_itself() {
        let (mut writer, mut reader) = queue("room:1".into(), Some("shout".into()), 1, 1 << 20, Budget::new(1 << 20));
        let payload = format!("\"{}\"", "x".repeat(SLICE_FROM));
        let tight = Bytes::from(format!("[null,null,\"room:1\",\"shout\",{payload}]"));
        let padded = Bytes::from(format!("[null,null,\"room:1\",\"shout\",{}{payload}]", " ".repeat(1 << 16)));
        for (frame, kept) in [(&tight, true), (&padded, false)] {
            let mut codec = crate::serializer::Codec::new(crate::V2);
            let text = crate::transport::Frame::Text(frame.clone());
            writer.push(&codec.decode(&text, &mut Default::default()).unwrap());
            drop(text);
            writer.hand_over();
            assert_eq!(!frame.is_unique(), kept, "{}", frame.len());
        }
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..2 {
            let Poll::Ready(Some(Item::Message(message))) = reader.poll_next(cx) else { panic!("a message is lost") };
            assert_eq!(message.payload().as_str(), Some(&*payload));
        }
    }
}
