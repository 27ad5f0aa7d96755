// Purges by a condition over what is stored. The store does not know the language that conditions are
// written in: whoever opens it says how a text is read (`StoreOptions.condition`), so that those of an
// earlier run are in force again. One that can no longer be read reaches everything: too much is fetched
// anew then, and nothing is served that was to be gone.
//
// What a condition says of an object must never change, whenever it is asked: only what is stored with
// the object counts, and its age is that at the time of the purge.

package import Bytes

/// A condition, compiled; shared by all threads.
package protocol ObjectCondition: Sendable {
  /// As it was written; at most 4,096 bytes.
  var text: [UInt8] { get }
  /// A way to test for one thread; `tagHash` is the store's.
  func makeTest(tagHash: (ByteView) -> UInt64) -> any ObjectTest
}

/// One thread's way to test objects against a condition.
package protocol ObjectTest: AnyObject {
  /// Whether the condition is true of an object.
  func isTrue(of object: borrowing ObjectFacts) -> Bool
}

/// What a condition can know of an object. Views are good for the call only.
package struct ObjectFacts {
  /// The URL that its request had.
  package let url: ByteView
  /// The hash it is stored under: tells variants apart.
  package let keyHash: Hash128
  /// The field lines as they are stored.
  package let head: ByteView
  /// Bytes of the content.
  package let bodyLength: UInt64
  /// The status, and the times by which it ages.
  package let metadata: Metadata
  /// The time at which it is looked at, ms since the epoch.
  package var now: Int64 = 0
  private let list: TagList?
  private let tags: [UInt64]

  init(_ record: RecordView) {
    url = record.url
    keyHash = record.keyHash
    head = record.head
    bodyLength = record.bodyLength
    metadata = record.metadata
    list = record.tags
    tags = []
  }

  init(_ source: borrowing RecordSource, url: ByteView, head: ByteView) {
    self.url = url
    keyHash = source.keyHash
    self.head = head
    bodyLength = source.bodyLength
    metadata = source.metadata
    list = nil
    tags = source.tags + source.implicitTags
  }

  /// The status code.
  package var status: UInt16 { metadata.status }

  /// How old it was at `now`, in ms (RFC 9111 §4.2.3); never negative.
  package var age: Int64 {
    let (resident, isOver) = now.subtractingReportingOverflow(metadata.responseTime)
    if isOver { return 0 }
    let (age, isTooMuch) = max(resident, 0).addingReportingOverflow(
      max(metadata.correctedInitialAge, 0))
    return isTooMuch ? .max : age
  }

  /// Whether it carries a tag, given its hash (`ObjectStore.tagHash`).
  package func hasTag(_ hash: UInt64) -> Bool {
    list?.contains(hash) ?? tags.contains(hash)
  }
}

extension RecordSource {
  /// Calls `body` with what conditions can know of what is about to be stored.
  func withFacts<Result>(_ body: (ObjectFacts) -> Result) -> Result {
    (target.isEmpty ? key : target).withView { url in
      head.withView { head in body(ObjectFacts(self, url: url, head: head)) }
    }
  }
}

/// What a purge that is neither of tags nor of everything goes by.
enum PurgeMatcher: Sendable {
  /// A pattern over URLs.
  case pattern(KeyPattern)
  /// A condition over what is stored.
  case condition(any ObjectCondition)
  /// A condition of an earlier run that cannot be read any more.
  case unreadable([UInt8])

  var text: [UInt8] {
    switch self {
    case .pattern(let pattern): pattern.text
    case .condition(let condition): condition.text
    case .unreadable(let text): text
    }
  }

  var kind: PurgeRecord.Target {
    if case .pattern = self { .pattern } else { .condition }
  }

  /// Whether it may reach an object of which only the URL is known; nil: not even that.
  func mayMatch(url: ByteView?) -> Bool {
    guard case .pattern(let pattern) = self, let url else { return true }
    return pattern.matches(url)
  }

  /// What an earlier run has left in the log of purges.
  init?(
    _ record: PurgeRecord, reading condition: ([UInt8]) -> (any ObjectCondition)?
  ) {
    switch record.target {
    case .tags, .everything, .nothing: return nil
    case .pattern:
      guard let pattern = record.pattern.withView({ KeyPattern($0) }) else { return nil }
      self = .pattern(pattern)
    case .condition:
      self = condition(record.pattern).map { .condition($0) } ?? .unreadable(record.pattern)
    }
  }
}
