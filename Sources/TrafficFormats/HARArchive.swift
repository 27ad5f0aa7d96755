// An HTTP archive (HAR 1.2): one JSON document, of which `log.entries` are the requests. A record's client is
// the page it belongs to, so that a page's requests stay together.

internal import Bytes

enum HARArchive {
  /// Hands out every entry; says of what is none why.
  static func parse(
    _ text: ByteView, _ builder: inout RecordBuilder,
    entry: (inout RecordBuilder, Int) -> Void, bad: (Int, Defect, ByteView) -> Void
  ) {
    // HAR 1.2 §1: a byte order mark is to be ignored.
    let text = text.starts(with: ByteView("\u{FEFF}")) ? text.dropping(first: 3) : text
    var reader = JSONReader(text)
    var number = 0
    let isArchive = reader.members { reader, name in
      guard name == ByteView("log") else { return reader.skip() }
      return reader.members { reader, name in
        guard name == ByteView("entries") else { return reader.skip() }
        return reader.elements { reader in
          number += 1
          let start = reader.at
          guard reader.skip() else { return false }
          let bytes = text[start..<reader.at]
          builder.begin(bytes: bytes.count)
          do throws(Defect) {
            try parse(entry: bytes, into: &builder)
            try builder.finish()
            entry(&builder, number)
          } catch {
            bad(number, error, bytes)
          }
          return true
        }
      }
    }
    if !isArchive { bad(number + 1, .cutOff, ByteView()) }
  }

  private static func parse(
    entry: ByteView, into builder: inout RecordBuilder
  ) throws(Defect) {
    var reader = JSONReader(entry)
    var defect: Defect?
    let isObject = reader.members { reader, name in
      do throws(Defect) {
        switch name {
        case ByteView("startedDateTime"): try set(.time, &reader, &builder)
        case ByteView("time"): try setDuration(&reader, &builder)
        case ByteView("pageref"): try set(.client, &reader, &builder)
        case ByteView("request"): try request(&reader, &builder)
        case ByteView("response"): try response(&reader, &builder)
        default: return reader.skip()
        }
        return true
      } catch {
        defect = error
        return false
      }
    }
    if let defect { throw defect }
    guard isObject else { throw .notJSON }
  }

  private static func set(
    _ value: LogValue, _ reader: inout JSONReader, _ builder: inout RecordBuilder
  ) throws(Defect) {
    guard let text = reader.scalar(&builder) else { throw .notJSON }
    try builder.set(value, text)
  }

  /// Milliseconds with a fraction; browsers write −1, and numbers with exponents, too.
  private static func setDuration(
    _ reader: inout JSONReader, _ builder: inout RecordBuilder
  ) throws(Defect) {
    guard let text = reader.scalar(&builder) else { throw .notJSON }
    if RecordedTime.seconds(text) != nil { try builder.set(.milliseconds, text) }
  }

  private static func request(
    _ reader: inout JSONReader, _ builder: inout RecordBuilder
  ) throws(Defect) {
    try object(&reader) { (reader, name) throws(Defect) in
      switch name {
      case ByteView("method"): try set(.method, &reader, &builder)
      case ByteView("url"):
        guard let text = reader.scalar(&builder) else { throw .notJSON }
        // A fragment is the browser's own.
        try builder.setTarget(text.prefix(text.firstIndex(of: 0x23) ?? text.count))
      case ByteView("bodySize"): try setSize(.requestBytes, &reader, &builder)
      case ByteView("headers"): try fields(&reader, &builder)
      default: guard reader.skip() else { throw .notJSON }
      }
    }
  }

  private static func response(
    _ reader: inout JSONReader, _ builder: inout RecordBuilder
  ) throws(Defect) {
    try object(&reader) { (reader, name) throws(Defect) in
      switch name {
      case ByteView("status"): try set(.status, &reader, &builder)
      case ByteView("bodySize"): try setSize(.responseBytes, &reader, &builder)
      case ByteView("content"):
        try object(&reader) { (reader, name) throws(Defect) in
          guard name == ByteView("size"), builder.record.responseBytes == nil else {
            guard reader.skip() else { throw .notJSON }
            return
          }
          try setSize(.responseBytes, &reader, &builder)
        }
      default: guard reader.skip() else { throw .notJSON }
      }
    }
  }

  /// A size, where −1 says that it is not known.
  private static func setSize(
    _ value: LogValue, _ reader: inout JSONReader, _ builder: inout RecordBuilder
  ) throws(Defect) {
    guard let text = reader.scalar(&builder) else { throw .notJSON }
    if RecordedTime.digits(text) != nil { try builder.set(value, text) }
  }

  private static func fields(
    _ reader: inout JSONReader, _ builder: inout RecordBuilder
  ) throws(Defect) {
    let isArray = reader.elements { reader in
      var name = ByteView()
      var value = ByteView()
      let isObject = reader.members { reader, member in
        guard member == ByteView("name") || member == ByteView("value") else {
          return reader.skip()
        }
        guard let text = reader.scalar(&builder) else { return false }
        if member == ByteView("name") { name = text } else { value = text }
        return true
      }
      // The URL says the host already.
      if !name.equalsIgnoringCase(ByteView("host")) { builder.setField(name, value) }
      return isObject
    }
    if !isArray { throw .notJSON }
  }

  private static func object(
    _ reader: inout JSONReader,
    _ member: (inout JSONReader, ByteView) throws(Defect) -> Void
  ) throws(Defect) {
    var defect: Defect?
    let isObject = reader.members { reader, name in
      do throws(Defect) {
        try member(&reader, name)
        return true
      } catch {
        defect = error
        return false
      }
    }
    if let defect { throw defect }
    guard isObject else { throw .notJSON }
  }
}
