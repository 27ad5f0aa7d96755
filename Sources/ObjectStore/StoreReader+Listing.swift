// What is stored, for whoever looks after the node: passes over the index in id order, a page at a time,
// through a reader like any other. There is no index by tag (it would cost each fill more than everything
// else), so a list by tag is a pass over all. How often an object was served is not kept: a counter for
// each object would be written by every hit. What eviction knows is: up to three uses since it last stood
// at the head of its queue.

package import Bytes
internal import LMDB

/// Which objects are listed.
package enum ListFilter: Sendable, Equatable {
  /// All.
  case all
  /// Those with a tag, given or implicit.
  case tag(UInt64)
  /// Every variant of a primary key.
  case key([UInt8])
  /// Those whose key matches.
  case pattern(KeyPattern)
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
    while let current = place, page.objects.count < limit, page.examined < budget {
      place = look(filter, from: current, limit: limit, budget: budget, &page)
    }
    page.next = place
    return page
  }

  /// Looks through one queue; returns where to go on.
  private func look(
    _ filter: ListFilter, from cursor: ListCursor, limit: Int, budget: Int, _ page: inout ListPage
  ) -> ListCursor? {
    var found = page
    var stopped: UInt64?
    do throws(LMDBError) {
      let queue = cursor.queue
      try current.scan(core.databases.index(queue), from: cursor.id) { id, bytes in
        if found.objects.count >= limit || found.examined >= budget {
          stopped = id
          return false
        }
        found.examined += 1
        if let index = IndexView(bytes), !index.isRules, mayTake(filter, index),
          let record = record(id, queue), takes(filter, record)
        {
          found.objects.append(summary(id, queue, index, record))
        }
        return true
      }
    } catch {
      return nil
    }
    page = found
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
    }
  }

  private func record(_ id: UInt64, _ queue: Queue) -> RecordView? {
    do throws(LMDBError) {
      return try current.get(core.databases.records(queue), id).flatMap { RecordView($0) }
    } catch {
      return nil
    }
  }

  private func takes(_ filter: ListFilter, _ record: RecordView) -> Bool {
    switch filter {
    case .all: true
    case .tag(let tag): record.tags.contains(tag)
    case .key(let key): key.withView { record.key == $0 }
    case .pattern(let pattern): pattern.matches(record.key)
    }
  }

  private func summary(
    _ id: UInt64, _ queue: Queue, _ index: IndexView, _ record: RecordView
  ) -> ObjectSummary {
    let sequence = core.ledger.sequence
    patterns.update(from: core.ledger)
    let entry = core.table.find(record.keyHash)?.entry
    let response = StoredResponse(record, softlyPurgedAt: .max)
    let present =
      presentRanges(of: response).reduce(0) { $0 + UInt64($1.count) }
    return ObjectSummary(
      id: record.birth, keyHash: record.keyHash, key: record.key.array,
      varyRule: record.rule.array, varyValues: record.values.array, metadata: record.metadata,
      etag: response.etag.array, bodyLength: record.bodyLength, bytesPresent: present,
      isSliced: record.isSliced,
      storedBytes: UInt64(record.bytes.count) + (record.bodyID == 0 ? 0 : present),
      tags: (0..<record.tagCount).map { record.tags[$0] },
      implicitTags: (record.tagCount..<record.tags.count).map { record.tags[$0] },
      sequence: record.sequence,
      purge: core.ledger.index.state(
        of: record.tags, since: record.sequence, through: sequence
      ).joined(patterns.state(of: record.key, since: record.sequence)).joined(
        index.isSoft ? .soft(since: index.softTime) : .none),
      uses: entry?.id == id ? entry?.frequency ?? 0 : 0, isInMainQueue: queue == .main)
  }
}
