internal import Bytes
internal import HTTPMessage

/// A file's validators.
struct FileValidators {
  /// The entity tag with its quotes.
  let tag: String
  /// Whether the file changed so recently that it may have changed twice within one tick of its
  /// timestamp (RFC 9110 §8.8.2.2): then the tag is weak, and another one than the file gets later, so
  /// that who has it asks again.
  let isWeak: Bool
  let modified: Int64

  /// `now`: seconds since the epoch.
  init(_ file: OpenFile, now: Int64) {
    isWeak = now &- file.modified < 2
    let stamp = file.modified &* 1_000_000_000 &+ file.modifiedNanoseconds
    tag =
      "\"\(String(file.inode, radix: 16))-\(String(UInt64(bitPattern: stamp), radix: 16))-"
      + "\(String(file.size, radix: 16))\(isWeak ? "-w" : "")\""
    modified = min(file.modified, now)
  }

  var field: String { isWeak ? "W/" + tag : tag }
}

/// What a request's conditions come to (RFC 9110 §13.2.2).
enum FileCondition {
  case proceed
  case notModified
  case failed

  static func evaluate(_ request: FileRequest, _ file: FileValidators, now: Int64) -> FileCondition
  {
    if let value = request.ifMatch {
      if file.isWeak && !isStar(value) || !lists(value, file.tag) { return .failed }
    } else if let since = date(request.ifUnmodifiedSince, now: now), file.modified > since {
      return .failed
    }
    if let value = request.ifNoneMatch { return lists(value, file.tag) ? .notModified : .proceed }
    if let since = date(request.ifModifiedSince, now: now), file.modified <= since {
      return .notModified
    }
    return .proceed
  }

  /// Whether `Range` counts: without `If-Range`, or if that names this very content.
  static func mayUseRange(_ request: FileRequest, _ file: FileValidators, now: Int64) -> Bool {
    guard let value = request.ifRange else { return true }
    if file.isWeak { return false }
    if value.first == ASCII.quote { return value == Array(file.tag.utf8) }
    return date(value, now: now) == file.modified
  }

  private static func isStar(_ value: [UInt8]) -> Bool {
    value.withView { $0.trimmingWhitespace == ByteView("*") }
  }

  /// Whether a list of entity tags has one, weak or not. A tag with its quotes cannot be a part of
  /// another one, since none holds a quote.
  private static func lists(_ value: [UInt8], _ tag: String) -> Bool {
    if isStar(value) { return true }
    return value.withView { value in
      tag.withView { tag in
        var from = 0
        while let at = value.firstIndex(of: ASCII.quote, from: from) {
          if value.dropping(first: at).starts(with: tag) { return true }
          from = at + 1
        }
        return false
      }
    }
  }

  private static func date(_ value: [UInt8]?, now: Int64) -> Int64? {
    value.flatMap { $0.withView { HTTPDate.parse($0, now: now) } }
  }
}

/// One range of a `Range` field (RFC 9110 §14.1.2).
enum FileRange: Equatable {
  /// Nothing that can be read, or more than one range: the whole is sent.
  case whole
  /// From an offset so many bytes.
  case part(offset: Int, length: Int)
  /// None of the content is asked for.
  case unsatisfiable

  init(_ value: [UInt8]?, size: Int) {
    self = value?.withView { FileRange($0.trimmingWhitespace, size: size) } ?? .whole
  }

  private init(_ value: ByteView, size: Int) {
    self = .whole
    guard value.count > 6, value.prefix(6).equalsIgnoringCase(ByteView("bytes=")),
      value.firstIndex(of: ASCII.comma) == nil
    else { return }
    let spec = value.dropping(first: 6).trimmingWhitespace
    guard let dash = spec.firstIndex(of: 0x2D) else { return }
    let first = Self.number(spec.prefix(dash))
    let last = Self.number(spec.dropping(first: dash + 1))
    switch (first, last) {
    case (.value(let first), .value(let last)):
      guard last >= first else { return }
      self =
        first >= size
        ? .unsatisfiable : .part(offset: first, length: min(last, size - 1) - first + 1)
    case (.value(let first), .empty):
      self = first >= size ? .unsatisfiable : .part(offset: first, length: size - first)
    case (.empty, .value(let count)):
      self =
        count == 0 || size == 0
        ? .unsatisfiable : .part(offset: max(0, size - count), length: min(count, size))
    default: break
    }
  }

  private enum Number {
    case empty
    case value(Int)
    case invalid
  }

  private static func number(_ text: ByteView) -> Number {
    if text.isEmpty { return .empty }
    var value = 0
    for index in 0..<text.count {
      guard ASCII.isDigit(text[index]) else { return .invalid }
      // Beyond any file's size it makes no difference how far.
      value = min(value * 10 + Int(text[index] &- 0x30), 1 << 59)
    }
    return .value(value)
  }
}
