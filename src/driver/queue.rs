//! From the driver to one stream of events: messages handed over by the turn, bounded by the bytes they hold.
//!
//! What is held is charged, not what was sent. The messages of a turn are copied into chunks of at most 8 KiB, so that
//! keeping a message keeps little else; payloads of 4 KiB and more are slices of what they arrived in, charged twice.

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
    batch::{Batch, Part, Place},
    error::{EventError, NotJoined},
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
    batch: Arc<Batch>,
    /// The messages, in order.
    records: Vec<Place>,
    /// Payloads beside the batch, which would be kept with any of its messages.
    large: Vec<Bytes>,
    cost: usize,
}

impl Chunk {
    /// A large payload takes a count of its own, which it can afford.
    fn large_message(&self, index: usize, place: Place) -> Message {
        let payload = Payload::new(self.large[index].clone(), place.kind());
        Message::new(self.batch.names(place).clone(), payload)
    }
}

/// One item, as it leaves the queue.
type Item = Result<Message, EventError>;

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
    let reader = Reader { queue: queue.clone(), chunk: None, next: 0, counts: false };
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
    records: Vec<Place>,
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
            self.filling.make_room(bytes.len(), CHUNK.min(self.queue.limit() / 8), &self.names.own);
        }
        let name = match &self.event {
            Some(_) => 0,
            None => self.filling.name(self.names.find(incoming.event)),
        };
        if small {
            self.filling.small(bytes, kind, name);
        } else {
            self.filling.large(incoming.body.to_large(), kind, name);
            // A queue that is nearly full takes what fits, not all or nothing of a turn.
            if self.filling.large_bytes >= CHUNK {
                self.filling.seal(&self.names.own);
            }
        }
    }

    /// Hands over what this turn brought: one lock, one wake.
    pub(super) fn hand_over(&mut self) {
        self.filling.seal(&self.names.own);
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
            // A message alone may have any size: a bound too small for it would let none through.
            let fits = match chunk.records.len() {
                0 => false,
                1 if state.bytes == 0 => true,
                _ => state.bytes.saturating_add(chunk.cost) <= self.queue.limit(),
            };
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
        state.forget_not_joined();
        state.slots.push_back(Slot::NotJoined(cause));
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
    /// Takes out the one that is unread, with which losses before and behind it become one.
    fn forget_not_joined(&mut self) {
        let Some(at) = self.slots.iter().rposition(|slot| matches!(slot, Slot::NotJoined(_))) else { return };
        self.slots.remove(at);
        let before = at.checked_sub(1).and_then(|before| self.slots.get(before));
        if let (Some(Slot::Lagged(before)), Some(Slot::Lagged(behind))) = (before, self.slots.get(at)) {
            let lost = before + behind;
            self.slots[at] = Slot::Lagged(lost);
            self.slots.remove(at - 1);
        }
    }

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
    #[inline]
    fn make_room(&mut self, bytes: usize, chunk: usize, own: &Arc<Names>) {
        if self.data.len() + bytes > chunk && !self.records.is_empty() {
            self.seal(own);
        }
        if self.data.capacity() - self.data.len() < bytes {
            self.grow(bytes, chunk);
        }
    }

    /// What the last turn filled is a first guess; if that was too little, all of a chunk is what is needed.
    #[cold]
    fn grow(&mut self, bytes: usize, chunk: usize) {
        let capacity = if self.data.capacity() == 0 { self.guess.min(chunk) } else { chunk };
        self.data.reserve_exact(capacity.saturating_sub(self.data.len()).max(bytes));
    }

    #[inline]
    fn small(&mut self, bytes: &[u8], kind: Kind, name: u32) {
        let start = self.data.len();
        self.data.extend_from_slice(bytes);
        self.record(Place::new(start..self.data.len(), name, kind));
    }

    fn large(&mut self, bytes: Bytes, kind: Kind, name: u32) {
        self.large_bytes += 2 * bytes.len();
        self.record(Place::beside(self.large.len(), name, kind));
        self.large.push(bytes);
    }

    #[inline]
    fn record(&mut self, place: Place) {
        if self.records.capacity() == 0 {
            self.records.reserve(self.guessed_records);
        }
        self.records.push(place);
    }

    fn name(&mut self, names: Arc<Names>) -> u32 {
        if self.names.last().is_none_or(|last| !Arc::ptr_eq(last, &names)) {
            self.names.push(names);
        }
        self.names.len() as u32 - 1
    }

    fn seal(&mut self, own: &Arc<Names>) {
        if self.records.is_empty() {
            return;
        }
        self.guess = self.data.len() + self.data.len() / 8;
        self.guessed_records = self.records.len();
        let names = mem::take(&mut self.names);
        let cost = self.data.capacity()
            + self.records.capacity() * size_of::<Place>()
            + self.large.capacity() * size_of::<Bytes>()
            + mem::take(&mut self.large_bytes)
            + names.iter().map(|names| names.event.len() + 64).sum::<usize>()
            + size_of::<Chunk>()
            + size_of::<Batch>();
        self.full.push(Chunk {
            batch: Arc::new(Batch { bytes: mem::take(&mut self.data), names, own: own.clone() }),
            records: mem::take(&mut self.records),
            large: mem::take(&mut self.large),
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

    /// Made a part of the caller's own loop, where a message need not be moved to be seen.
    #[inline]
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        match self.next_of_chunk() {
            Some(message) => Poll::Ready(Some(Ok(message))),
            None => self.poll_chunk(cx),
        }
    }

    #[inline(never)]
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        loop {
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
                    if let Some(message) = self.next_of_chunk() {
                        return Poll::Ready(Some(Ok(message)));
                    }
                }
                Some(Slot::Lagged(lost)) => return Poll::Ready(Some(Err(EventError::Lagged(lost)))),
                Some(Slot::NotJoined(cause)) => return Poll::Ready(Some(Err(EventError::NotJoined(cause)))),
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

    #[inline]
    fn next_of_chunk(&mut self) -> Option<Message> {
        let chunk = self.chunk.as_ref()?;
        let place = *chunk.records.get(self.next)?;
        self.next += 1;
        if self.counts {
            self.queue.unread.fetch_sub(1, Ordering::Relaxed);
        }
        Some(match place.index_beside() {
            None => Message::of_part(Part::new(chunk.batch.clone(), place)),
            Some(index) => chunk.large_message(index, place),
        })
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
        let body = crate::serializer::Body { owner: Some(&bytes), bytes: &bytes, kind: Kind::Json };
        let message = Incoming {
            join_ref: None,
            reference: None,
            topic: "room:1".into(),
            event: "shout".into(),
            body,
            header: 0,
        };
        for _ in 0..100 {
            writer.push(&message);
            writer.hand_over();
        }
        assert!((1..=LIMIT).contains(&budget.used()), "{} bytes are held", budget.used());

        let mut cx = Context::from_waker(Waker::noop());
        let (mut kept, mut lost) = (0, 0);
        while let Poll::Ready(Some(item)) = reader.poll_next(&mut cx) {
            match item {
                Ok(_) if lost == 0 => kept += 1,
                Err(EventError::Lagged(n)) if lost == 0 => lost = n,
                _ => panic!("nothing comes behind what was lost"),
            }
        }
        assert!(kept > 0);
        assert_eq!(kept + lost, 100);
        assert_eq!(budget.used(), 0);
    }

    fn shout(writer: &mut Writer, number: usize) {
        let bytes = Bytes::from(number.to_string());
        let body = crate::serializer::Body { owner: Some(&bytes), bytes: &bytes, kind: Kind::Json };
        let event = "shout".into();
        writer.push(&Incoming { join_ref: None, reference: None, topic: "room:1".into(), event, body, header: 0 });
    }

    fn read(reader: &mut Reader) -> Vec<String> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        while let Poll::Ready(Some(item)) = reader.poll_next(&mut cx) {
            seen.push(match item {
                Ok(message) => message.payload().to_string(),
                Err(EventError::Lagged(lost)) => format!("lost {lost}"),
                Err(other) => other.to_string(),
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
        assert!(matches!(reader.poll_next(&mut cx), Poll::Ready(Some(Ok(_)))));
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
        assert_eq!(fill(&mut reader), (2, 1), "one alone, and what was lost");
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
            let Poll::Ready(Some(Ok(message))) = reader.poll_next(cx) else { panic!("a message is lost") };
            assert_eq!(message.payload().as_str(), Some(&*payload));
        }
    }
}
