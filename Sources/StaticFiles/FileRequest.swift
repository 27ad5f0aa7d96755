// What is asked of a directory of files, and what it answers: plain values, so that the question can go to
// a helper thread and the answer come back through a worker's inbox.

internal import Bytes
package import HTTPMessage

/// A request for a file. Fields hold the values of all their lines, joined by commas; nil: not there.
package struct FileRequest: Sendable {
  /// The method.
  package var method: Method
  /// The path as sent.
  package var path: [UInt8]
  /// The query as sent, for redirects.
  package var query: [UInt8]?
  /// `Accept-Encoding`.
  package var acceptEncoding: [UInt8]?
  /// `If-Match`.
  package var ifMatch: [UInt8]?
  /// `If-Unmodified-Since`.
  package var ifUnmodifiedSince: [UInt8]?
  /// `If-None-Match`.
  package var ifNoneMatch: [UInt8]?
  /// `If-Modified-Since`.
  package var ifModifiedSince: [UInt8]?
  /// `Range`.
  package var range: [UInt8]?
  /// `If-Range`.
  package var ifRange: [UInt8]?

  /// A plain GET.
  package init(method: Method = .get, path: [UInt8]) {
    self.method = method
    self.path = path
  }

  /// What a client asks for. `isFill`: the whole is wanted for the store, without the client's
  /// conditions and ranges; those of a validation can be set afterwards.
  package init(_ head: RequestHead, isFill: Bool) {
    method = isFill ? .get : head.method
    path = head.bytes[head.path].array
    query = head.query.map { head.bytes[$0].array }
    acceptEncoding = Self.joined(.acceptEncoding, head)
    guard !isFill else { return }
    ifMatch = Self.joined(.ifMatch, head)
    ifUnmodifiedSince = Self.joined(.ifUnmodifiedSince, head)
    ifNoneMatch = Self.joined(.ifNoneMatch, head)
    ifModifiedSince = Self.joined(.ifModifiedSince, head)
    range = Self.joined(.range, head)
    ifRange = Self.joined(.ifRange, head)
  }

  private static func joined(_ field: KnownField, _ head: RequestHead) -> [UInt8]? {
    var value: [UInt8]?
    head.fields.forEach(field, in: head.bytes) { line in
      if value == nil {
        value = line.array
      } else {
        value? += [ASCII.comma, ASCII.space] + line.array
      }
    }
    return value
  }
}

/// An answer's content.
package enum FileContent: Sendable {
  /// None.
  case none
  /// These bytes.
  case bytes([UInt8])
  /// A file's, from `offset`, `length` bytes.
  case file(OpenFile, offset: Int, length: Int)
}

/// An answer: a head, and where the content is.
package struct FileAnswer: Sendable {
  /// The status code.
  package var status: UInt16
  /// Field lines in lower case, each `name: value` with CR LF; without `content-length` and `date`.
  package var lines: [UInt8] = []
  /// The content; to HEAD it is the one that GET would get, and is not sent.
  package var content = FileContent.none

  /// An answer of a status.
  package init(status: UInt16) { self.status = status }

  /// The length of the content.
  package var length: Int {
    switch content {
    case .none: 0
    case .bytes(let bytes): bytes.count
    case .file(_, _, let length): length
    }
  }

  mutating func add(_ name: String, _ value: String) {
    lines += Array("\(name): \(value)\r\n".utf8)
  }

  mutating func add(_ name: String, bytes value: [UInt8]) {
    lines += Array("\(name): ".utf8) + value + [ASCII.cr, ASCII.lf]
  }
}
