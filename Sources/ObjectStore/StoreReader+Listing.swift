// What is stored, for whoever looks after the node: passes over the index in id order, a page at a time,
// through a reader like any other. There is no index by tag (it would cost each fill more than everything
// else), so a list by tag is a pass over all. How often an object was served is not kept: a counter for
// each object would be written by every hit. What eviction knows is: up to three uses since it last stood
// at the head of its queue.

package import Bytes
internal import LMDB

/// Which objects are listed.
package enum ListFilter: Sendable {
  /// All.
  case all
  /// Those with a tag, given or implicit.
  case tag(UInt64)
  /// Every variant of a primary key.
  case key([UInt8])
  /// Those whose URL matches.
  case pattern(KeyPattern)
  /// Those that a purge at that time (ms since the epoch) would reach.
  case reached(PurgeOrder.Target, time: Int64)
}

/// What a part of the store holds of what was asked for.
package struct ListCount: Sendable, Equatable {
  /// Objects that no hard purge has reached.
  package var objects: UInt64 = 0
  /// Bytes of their contents.
  package var bytes: UInt64 = 0
  /// Where to go on; nil at the end.
  package var next: ListCursor?

  /// Nothing yet.
  package init() {}
}

/// Where a list goes on.
package struct ListCursor: Sendable, Equatable {
  let queue: Queue
  let id: UInt64

  /// The beginning.
  package static let start = ListCursor(queue: .small, id: 0)
  /// A number that stands for it.
  package var number: UInt64 { id << 1 | queue.rawValue }

  init(queue: Queue, id: UInt64) {
    self.queue = queue
    self.id = id
  }

  /// The cursor of a number that came from `number`; any other is some place in the list.
  package init(number: UInt64) {
    self.init(queue: number & 1 == 0 ? .small : .main, id: number &>> 1)
  }
}

/// What is known of a stored object.
package struct ObjectSummary: Sendable, Equatable {
  /// Names the stored response, with `keyHash`.
  package var id: UInt64
  /// The hash it is stored under.
  package var keyHash: Hash128
  /// The full primary key.
  package var key: [UInt8]
  /// The URL that its request had.
  package var url: [UInt8]
  /// The Vary rule and the request's values, if it is a variant.
  package var varyRule: [UInt8]
  package var varyValues: [UInt8]
  /// Status, times, lifetimes.
  package var metadata: Metadata
  /// The entity tag; empty if there is none.
  package var etag: [UInt8]
  /// Bytes of the content.
  package var bodyLength: UInt64
  /// Bytes of it that are there; fewer only if it is sliced.
  package var bytesPresent: UInt64
  /// Whether it is sliced.
  package var isSliced: Bool
  /// Bytes that it takes in the store, about.
  package var storedBytes: UInt64
  /// Hashes of the tags that the origin gave, and of the implicit ones. Their texts are not kept.
  package var tags: [UInt64]
  package var implicitTags: [UInt64]
  /// The newest purge when its fill began.
  package var sequence: UInt64
  /// Whether it is purged, and how. What is purged hard is only waiting to be deleted.
  package var purge: PurgeState
  /// Uses that eviction knows of, up to 3, and whether it stands in the main queue.
  package var uses: UInt64
  package var isInMainQueue: Bool
}

/// A page of a list.
package struct ListPage: Sendable {
  /// The objects.
  package var objects: [ObjectSummary] = []
  /// Where the next page begins; nil if there is none. A page may be empty and not the last.
  package var next: ListCursor?
  /// Index entries that were looked at.
  package var examined = 0
}

extension ListFilter {
  /// The test of a condition, for this thread.
  fileprivate func test(_ ledger: PurgeLedger) -> (any ObjectTest)? {
    if case .reached(.condition(let condition), _) = self {
      ledger.makeTest(condition)
    } else {
      nil
    }
  }
}

extension StoreReader {
  /// A page of the objects that a filter takes, in about the order in which they came. At most `limit`
  /// objects, from at most `budget` index entries (about 0.2 µs each, and 2 µs for each object taken or
  /// tested by its key). Objects that eviction moves between pages may be missed or come twice. Ends the
  /// turn.
  package func list(
    _ filter: ListFilter, from cursor: ListCursor = .start, limit: Int = 100, budget: Int = 20_000
  ) -> ListPage {
    defer { endTurn() }
    var page = ListPage()
    guard beginTurn(), limit > 0, budget > 0 else { return page }
    var place: ListCursor? = cursor
    let test = filter.test(core.ledger)
    while let current = place, page.objects.count < limit, page.examined < budget {
      place = look(
        filter, test, from: current, budget: budget, examined: &page.examined
      ) { id, queue, index, record in
        page.objects.append(summary(id, queue, index, record))
        return page.objects.count < limit
      }
    }
    page.next = place
    return page
  }

  /// How many objects a filter takes, from at most `budget` index entries; what purges have reached is not
  /// counted. Ends the turn.
  package func count(
    _ filter: ListFilter, from cursor: ListCursor = .start, budget: Int = 20_000
  ) -> ListCount {
    defer { endTurn() }
    var count = ListCount()
    guard beginTurn(), budget > 0 else { return count }
    var place: ListCursor? = cursor
    var examined = 0
    let test = filter.test(core.ledger)
    while let current = place, examined < budget {
      place = look(
        filter, test, from: current, budget: budget, examined: &examined
      ) { _, _, _, record in
        if purges(of: record) != .hard {
          count.objects += 1
          count.bytes &+= record.bodyLength
        }
        return true
      }
    }
    count.next = place
    return count
  }

  /// Looks through one queue, and gives what the filter takes to `take`, until that has enough; returns
  /// where to go on.
  private func look(
    _ filter: ListFilter, _ test: (any ObjectTest)?, from cursor: ListCursor, budget: Int,
    examined: inout Int, _ take: (UInt64, Queue, IndexView, RecordView) -> Bool
  ) -> ListCursor? {
    var stopped: UInt64?
    var count = examined
    var isEnough = false
    do throws(LMDBError) {
      let queue = cursor.queue
      try current.scan(core.databases.index(queue), from: cursor.id) { id, bytes in
        if isEnough || count >= budget {
          stopped = id
          return false
        }
        count += 1
        if let index = IndexView(bytes), !index.isRules, mayTake(filter, index),
          let record = record(id, queue), takes(filter, test, record)
        {
          isEnough = !take(id, queue, index, record)
        }
        return true
      }
    } catch {
      return nil
    }
    examined = count
    if let stopped { return ListCursor(queue: cursor.queue, id: stopped) }
    return cursor.queue == .small ? ListCursor(queue: .main, id: 0) : nil
  }

  /// Whether the record has to be looked at.
  private func mayTake(_ filter: ListFilter, _ index: IndexView) -> Bool {
    switch filter {
    case .all, .pattern: true
    case .tag(let tag): index.hasFarTags || index.tags.contains(tag)
    // Variants stand under other hashes.
    case .key: true
    case .reached(.tags(let tags), _):
      index.hasFarTags || tags.contains { index.tags.contains($0) }
    case .reached(.tagsWithin(let hosts, _), _):
      index.hasFarTags || hosts.contains { index.tags.contains($0) }
    case .reached: true
    }
  }

  /// What purges say of a record that was found by a pass.
  private func purges(of record: RecordView) -> PurgeState {
    let sequence = core.ledger.sequence
    patterns.update(from: core.ledger)
    return core.ledger.index.state(
      of: record.tags, since: record.sequence, through: sequence
    ).joined(patterns.state(of: ObjectFacts(record), since: record.sequence))
  }

  private func record(_ id: UInt64, _ queue: Queue) -> RecordView? {
    do throws(LMDBError) {
      return try current.get(core.databases.records(queue), id).flatMap { RecordView($0) }
    } catch {
      return nil
    }
  }

  private func takes(
    _ filter: ListFilter, _ test: (any ObjectTest)?, _ record: RecordView
  ) -> Bool {
    switch filter {
    case .all: true
    case .tag(let tag): record.tags.contains(tag)
    case .key(let key): key.withView { record.key == $0 }
    case .pattern(let pattern), .reached(.pattern(let pattern), _): pattern.matches(record.url)
    case .reached(.tags(let tags), _): tags.contains { record.tags.contains($0) }
    case .reached(.tagsWithin(let hosts, let tags), _):
      hosts.contains { record.tags.contains($0) } && tags.contains { record.tags.contains($0) }
    case .reached(.everything, _): true
    case .reached(.condition, let time): isTrue(test, of: record, at: time)
    }
  }

  private func isTrue(_ test: (any ObjectTest)?, of record: RecordView, at time: Int64) -> Bool {
    var facts = ObjectFacts(record)
    facts.now = time
    return test?.isTrue(of: facts) ?? false
  }

  private func summary(
    _ id: UInt64, _ queue: Queue, _ index: IndexView, _ record: RecordView
  ) -> ObjectSummary {
    let entry = core.table.find(record.keyHash)?.entry
    let response = StoredResponse(record, softlyPurgedAt: .max)
    let present =
      presentRanges(of: response).reduce(0) { $0 + UInt64($1.count) }
    return ObjectSummary(
      id: record.birth, keyHash: record.keyHash, key: record.key.array, url: record.url.array,
      varyRule: record.rule.array, varyValues: record.values.array, metadata: record.metadata,
      etag: response.etag.array, bodyLength: record.bodyLength, bytesPresent: present,
      isSliced: record.isSliced,
      storedBytes: UInt64(record.bytes.count) + (record.bodyID == 0 ? 0 : present),
      tags: (0..<record.tagCount).map { record.tags[$0] },
      implicitTags: (record.tagCount..<record.tags.count).map { record.tags[$0] },
      sequence: record.sequence,
      purge: purges(of: record).joined(
        index.isSoft ? .soft(since: index.softTime) : .none),
      uses: entry?.id == id ? entry?.frequency ?? 0 : 0, isInMainQueue: queue == .main)
  }
}
