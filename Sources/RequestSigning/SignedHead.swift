// A request's head in its parts, as far as signing it asks for them.

internal import Bytes

/// A field as it is signed: its name in lower case, its values without needless space.
struct CanonicalField {
  let name: [UInt8]
  var value: [UInt8]
}

/// The parts of a head, which has been written by the node itself.
struct SignedHead {
  private enum Line {
    /// In the head: the whole line without its end, and the length of the name.
    case given(Range<Int>, name: Int)
    case own(name: String, value: String)
  }

  private(set) var method = 0..<0
  private(set) var target = 0..<0
  private var lines: [Line] = []

  init(_ head: ByteView) {
    var start = 0
    while start < head.count {
      let end = head.firstIndex(of: ASCII.lf, from: start) ?? head.count
      let last = end > start && head[end - 1] == ASCII.cr ? end - 1 : end
      let line = start..<last
      start = end + 1
      if method.isEmpty {
        readRequestLine(head, line)
      } else if line.isEmpty {
        return
      } else if let colon = head[line].firstIndex(of: ASCII.colon) {
        lines.append(.given(line, name: colon))
      }
    }
  }

  private mutating func readRequestLine(_ head: ByteView, _ line: Range<Int>) {
    guard let first = head.firstIndex(of: ASCII.space, from: line.lowerBound),
      first < line.upperBound
    else { return }
    var last = line.upperBound
    while last > first + 1, head[last - 1] != ASCII.space { last -= 1 }
    method = line.lowerBound..<first
    target = first + 1..<max(first + 1, last - 1)
  }

  /// Leaves out what a request says of a signature.
  mutating func removeSignature(in head: ByteView) {
    lines.removeAll { line in
      guard case .given(let range, let length) = line else { return false }
      let name = head[range].prefix(length)
      return Self.isOfSignature(name)
    }
  }

  /// Whether the signer writes a field itself.
  private static func isOfSignature(_ name: ByteView) -> Bool {
    name.equalsIgnoringCase(ByteView("authorization"))
      || name.equalsIgnoringCase(ByteView("x-amz-date"))
      || name.equalsIgnoringCase(ByteView("x-amz-content-sha256"))
      || name.equalsIgnoringCase(ByteView("x-amz-security-token"))
  }

  mutating func append(_ name: String, _ value: String) {
    lines.append(.own(name: name, value: value))
  }

  /// The fields that are signed, in the order of their names; several of a name are one, in their order.
  func canonicalFields(_ head: ByteView, all: Bool) -> [CanonicalField] {
    var fields: [CanonicalField] = []
    for line in lines {
      let field: CanonicalField
      switch line {
      case .own(let name, let value):
        field = CanonicalField(name: Array(name.utf8), value: Array(value.utf8))
      case .given(let range, let length):
        let text = head[range]
        var name = ByteBuffer()
        name.appendLowercased(text.prefix(length))
        guard all || Self.matters(name.view) else { continue }
        field = CanonicalField(
          name: name.view.array, value: Self.collapsed(text.dropping(first: length + 1)))
      }
      if let index = fields.firstIndex(where: { $0.name == field.name }) {
        fields[index].value += [ASCII.comma] + field.value
      } else {
        fields.append(field)
      }
    }
    return fields.sorted { $0.name.lexicographicallyPrecedes($1.name) }
  }

  /// Whether a field says what is asked for.
  private static func matters(_ name: ByteView) -> Bool {
    name.starts(with: ByteView("x-amz-")) || name == ByteView("host") || name == ByteView("range")
      || name == ByteView("content-type") || name == ByteView("content-md5")
      || name.starts(with: ByteView("if-"))
  }

  /// A value without space around it, and with one space for each run of it.
  private static func collapsed(_ value: ByteView) -> [UInt8] {
    var result: [UInt8] = []
    var hasSpace = false
    for index in 0..<value.count {
      let byte = value[index]
      if byte == ASCII.space || byte == ASCII.tab {
        hasSpace = true
      } else {
        if hasSpace && !result.isEmpty { result.append(ASCII.space) }
        hasSpace = false
        result.append(byte)
      }
    }
    return result
  }

  // MARK: Writing

  func appendLine(
    _ head: ByteView, _ canonical: borrowing CanonicalTarget, to output: inout ByteBuffer
  ) {
    output.append(head[method])
    output.append(ASCII.space)
    output.append(canonical.path.view)
    if !canonical.query.isEmpty {
      output.append(ASCII.question)
      output.append(canonical.query.view)
    }
    output.append(" HTTP/1.1\r\n")
  }

  func appendFields(_ head: ByteView, to output: inout ByteBuffer) {
    for line in lines {
      switch line {
      case .given(let range, _): output.append(head[range])
      case .own(let name, let value):
        output.append(text: name)
        output.append(": ")
        output.append(text: value)
      }
      output.append("\r\n")
    }
  }
}
